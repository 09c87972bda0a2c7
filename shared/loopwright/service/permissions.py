"""Who may say and hear what on the bus: each identity's subjects, made from the contract.

Rule: nobody but the coordinator writes the log, a role reports for itself only, a tenant's users
submit for their tenant only, and nobody but the administrator makes, changes or deletes streams
and consumers. Making a consumer is never allowed to a service: the server would deliver what the
stream holds to any subject that the consumer names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loopwright import subjects
from loopwright.service.consumers import COORDINATOR, FAMILY, INTAKE, LEARNER, NOTIFIER, TENANTS
from loopwright.subjects import ROLES, Role

STATE = "state"
OPERATOR = "operator"
#: Makes streams and consumers, backs up and restores; only the provisioning job holds it.
ADMIN = "admin"
#: Names of tenants' users begin so; what follows is the tenant.
TENANT = "tenant-"
SERVICES: tuple[str, ...] = (COORDINATOR, *ROLES, STATE)

#: The kinds of dependencies that a role calls, and reports on.
CALLS: dict[Role, tuple[str, ...]] = {
    "planner": ("llm",),
    "executor": ("tool", "mcp"),
    "verifier": ("llm",),
}
_API = "$JS.API"
_OBJECTS = f"OBJ_{subjects.OBJECTS}"


@dataclass(frozen=True, slots=True)
class Access:
    """What one identity may reach; nothing else."""

    sends: tuple[str, ...] = ()
    """Subjects that it may publish to; an answer is one message."""
    asks: tuple[str, ...] = ()
    """Requests that are answered by any number of messages."""
    hears: tuple[str, ...] = ()
    """Subjects of others that it may subscribe to."""
    answers: tuple[str, ...] = ()
    """Requests of others that it answers."""

    def __add__(self, other: Access) -> Access:
        """What either may reach."""
        return Access(
            _merged(self.sends, other.sends),
            _merged(self.asks, other.asks),
            _merged(self.hears, other.hears),
            _merged(self.answers, other.answers),
        )


def _merged(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def access(identity: str, tenants: Sequence[str] = ()) -> Access:
    """What an identity may reach; KeyError for a name that is none."""
    if identity.startswith(TENANT):
        return _user(identity.removeprefix(TENANT))
    if identity == COORDINATOR:
        return _coordinator(tenants)
    others = {role: _worker(role) for role in ROLES} | {STATE: _state(), OPERATOR: _operator()}
    return others[identity]


def inbox(identity: str) -> str:
    """The prefix of the subjects on which an identity gets its answers."""
    return f"_INBOX_{identity}"


def _consumes(stream: str, durable: str) -> Access:
    """Pull from a declared consumer, and acknowledge."""
    return Access(
        sends=(f"{_API}.CONSUMER.INFO.{stream}.{durable}", f"$JS.ACK.{stream}.{durable}.>"),
        asks=(f"{_API}.CONSUMER.MSG.NEXT.{stream}.{durable}",),
    )


def _measures(stream: str) -> Access:
    """See a stream's subjects and sequences."""
    return Access(sends=(f"{_API}.STREAM.INFO.{stream}",))


def _looks_up(stream: str) -> Access:
    """Read a stream's messages one by one, at its leader."""
    return Access(sends=(f"{_API}.STREAM.MSG.GET.{stream}",))


def _reads(stream: str) -> Access:
    """Read a whole stream."""
    return _looks_up(stream) + Access(asks=(f"{_API}.DIRECT.GET.{stream}",))


def _sends(*to: str) -> Access:
    return Access(sends=to)


def _keeps_objects() -> Access:
    """Put and get, but neither delete nor purge."""
    bucket = f"$O.{subjects.OBJECTS}"
    return _measures(_OBJECTS) + _reads(_OBJECTS) + Access(sends=(f"{bucket}.C.*", f"{bucket}.M.*"))


def _coordinator(tenants: Sequence[str]) -> Access:
    found = _sends(
        subjects.loop_event("*", "*"),
        "claim.>",
        "timer.at.>",
        subjects.stop("*"),
        *(subjects.dead(stream) for stream in INTAKE),
        *(f"{inbox(name)}.>" for name in users(tenants)),
    )
    found += _reads(subjects.LOOPS) + _looks_up(subjects.CLAIMS) + _keeps_objects()
    found += _consumes(subjects.LOOPS, TENANTS) + _sends("tenant.*", subjects.dead(subjects.LOOPS))
    found += _looks_up(subjects.TENANTS)
    found += _sends("breaker.>", subjects.dead(subjects.BREAKERS)) + _looks_up(subjects.BREAKERS)
    for stream in (*INTAKE, subjects.LOOPS, subjects.DEAD, subjects.BREAKERS, subjects.NOTIFY):
        found += _measures(stream)
    for stream in (*INTAKE, subjects.BREAKERS):
        found += _consumes(stream, COORDINATOR)
    found += _consumes(subjects.LOOPS, FAMILY) + _sends(subjects.dead(subjects.LOOPS))
    watched = [(subjects.LOOPS, name) for name in (*ROLES, NOTIFIER, LEARNER)]
    watched.append((subjects.NOTIFY, NOTIFIER))
    return found + _sends(*(f"{_API}.CONSUMER.INFO.{stream}.{name}" for stream, name in watched))


def _worker(role: Role) -> Access:
    """A role may read the goals, but no other event of the log: grants hold their tokens."""
    goals = f"{_API}.DIRECT.GET.{subjects.LOOPS}.{subjects.loop_event('*', 'loop_admitted')}"
    journal = _sends("effect.*.*.*") + _looks_up(subjects.EFFECTS)
    return (
        (journal if role == "executor" else Access())
        + _consumes(subjects.LOOPS, role)
        + _sends(
            goals,
            f"claim.{role}.*.*.*",
            *(subjects.breaker(kind, "*") for kind in CALLS[role]),
            *((subjects.limit("*"),) if "llm" in CALLS[role] else ()),
            subjects.result(role, "*"),
            subjects.dead(subjects.LOOPS),
        )
        + _looks_up(subjects.CLAIMS)
        + _looks_up(subjects.BREAKERS)
        + (_looks_up(subjects.LIMITS) if "llm" in CALLS[role] else Access())
        + _keeps_objects()
        + Access(hears=(subjects.stop("*"),))
        + (_sends(subjects.recall("*"), subjects.progress("*")) if role == "planner" else Access())
    )


def _state() -> Access:
    return (
        _reads(subjects.LOOPS)
        + _measures(subjects.LOOPS)
        + _consumes(subjects.LOOPS, NOTIFIER)
        + _consumes(subjects.NOTIFY, NOTIFIER)
        + _consumes(subjects.LOOPS, LEARNER)
        + _reads(subjects.MEMORY)
        + _measures(subjects.MEMORY)
        + _keeps_objects()
        + _sends(
            subjects.memory("*", "*"),
            subjects.notification("*", "*"),
            subjects.dead(subjects.LOOPS),
            subjects.dead(subjects.NOTIFY),
        )
        + Access(
            answers=(
                subjects.QUERY_LOOP,
                subjects.QUERY_LOOPS,
                subjects.QUERY_HEADS,
                subjects.recall("*"),
                subjects.memories("*"),
                subjects.forget("*"),
            ),
        )
    )


def _user(tenant: str) -> Access:
    """A person or program of one tenant: submits for it, and reads and controls loops."""
    return (
        _sends(
            subjects.goal_submitted(tenant),
            subjects.control("*"),
            subjects.QUERY_LOOP,
            subjects.QUERY_LOOPS,
            subjects.QUERY_HEADS,
            subjects.recall(tenant),
            subjects.memories(tenant),
            subjects.forget(tenant),
        )
        + _reads(subjects.LOOPS)
        + _measures(subjects.LOOPS)
        + _keeps_objects()
        + Access(hears=("loop.>", subjects.progress("*")))
    )


def _operator() -> Access:
    """Who runs the installation: any tenant, the dead letters, breakers and quotas."""
    return (
        _user("*")
        + _looks_up(subjects.DEAD)
        + _measures(subjects.DEAD)
        + _sends(f"{_API}.STREAM.MSG.DELETE.{subjects.DEAD}", "breaker.>", "tenant.*")
        + _looks_up(subjects.BREAKERS)
        + _measures(subjects.BREAKERS)
        + _looks_up(subjects.TENANTS)
        + _measures(subjects.TENANTS)
    )


def users(tenants: Sequence[str]) -> tuple[str, ...]:
    """The identities of people, of whom the coordinator answers each on its own inbox."""
    return (OPERATOR, *(f"{TENANT}{tenant}" for tenant in tenants))
