"""Every subject, stream, consumer and header by name; nothing else spells one."""

from __future__ import annotations

from typing import Literal

Role = Literal["planner", "executor", "verifier"]
ROLES: tuple[Role, ...] = ("planner", "executor", "verifier")

LOOPS = "LOOPS"
GOALS = "GOALS"
CONTROL = "CONTROL"
RESULTS = "RESULTS"
CLAIMS = "CLAIMS"
TIMERS = "TIMERS"
DEAD = "DEAD"
NOTIFY = "NOTIFY"
EFFECTS = "EFFECTS"
BREAKERS = "BREAKERS"
TENANTS = "TENANTS"
LIMITS = "LIMITS"
MEMORY = "MEMORY"

#: Object store bucket of workspace revisions and of payloads too large for a message.
OBJECTS = "LOOPWRIGHT"

#: Header with the unguessable token of an attempt; bodies hold only its digest.
ATTEMPT_TOKEN = "Loopwright-Attempt-Token"  # noqa: S105
#: Header in which a submitter names the subject that its answer goes to.
REPLY_TO = "Loopwright-Reply-To"
#: Header of an event that warns of a budget, for those who do not read every body.
WARNS = "Loopwright-Warns"
#: Header of an event of a loop that has a parent or children, for those who do not read every body.
FAMILY = "Loopwright-Family"
#: W3C trace context.
TRACEPARENT = "traceparent"

#: The granting event of each role: the command that its worker consumes.
REQUEST_KIND: dict[Role, str] = {
    "planner": "plan_requested",
    "executor": "execution_requested",
    "verifier": "verification_requested",
}

QUERY_LOOP = "query.loop"
QUERY_LOOPS = "query.loops"
QUERY_HEADS = "query.heads"


def recall(tenant: str) -> str:
    """Ask for what a tenant's loops have learned that fits a text."""
    return f"query.recall.{tenant}"


def memories(tenant: str) -> str:
    """Ask for a tenant's memories."""
    return f"query.memory.{tenant}"


def forget(tenant: str) -> str:
    """Ask for one of a tenant's memories to be forgotten."""
    return f"query.forget.{tenant}"


def memory(tenant: str, memory_id: str) -> str:
    """Where a memory is kept, or that it was forgotten."""
    return f"memory.{tenant}.{memory_id}"


def loop_event(loop: str, kind: str) -> str:
    """Where an event of the log is stored."""
    return f"loop.{loop}.{kind}"


def loop_events(loop: str) -> str:
    """Every event of one loop."""
    return f"loop.{loop}.>"


def requests(role: Role) -> str:
    """The events that grant a role's steps, of all loops."""
    return f"loop.*.{REQUEST_KIND[role]}"


def goal_submitted(tenant: str) -> str:
    """Where a tenant's goals are submitted."""
    return f"goal.submitted.{tenant}"


def control(loop: str) -> str:
    """Where control messages for a loop go."""
    return f"control.{loop}"


def result(role: Role, loop: str) -> str:
    """Where a worker reports."""
    return f"result.{role}.{loop}"


def claim(role: Role, loop: str, iteration: int, attempt: int) -> str:
    """The one subject on which an attempt is claimed, by compare-and-set on 0."""
    return f"claim.{role}.{loop}.{iteration}.{attempt}"


def effect(loop: str, iteration: int, index: int) -> str:
    """Where an action that must not be done twice is journalled, whatever the attempt."""
    return f"effect.{loop}.{iteration}.{index}"


def sweep(period: int) -> str:
    """The claim of the one coordinator that sweeps the open loops in a period."""
    return f"claim.sweep.{period}"


def timer(loop: str, guard: str) -> str:
    """The schedule of a durable timer; `guard` names what it watches."""
    return f"timer.at.{loop}.{guard}"


def timer_fired(loop: str) -> str:
    """Where a timer's message arrives when it is due."""
    return f"timer.fired.{loop}"


def notification(loop: str, kind: str) -> str:
    """Where a notification waits for its delivery."""
    return f"notify.{loop}.{kind}"


def stop(loop: str) -> str:
    """Ephemeral signal to workers that a loop's running step is to end."""
    return f"stop.{loop}"


def progress(loop: str) -> str:
    """Ephemeral: how far a loop's running step has come."""
    return f"progress.{loop}"


def breaker(kind: str, name: str) -> str:
    """Where the breaker of a dependency is kept; `name` is one token."""
    return f"breaker.{kind}.{name}"


def limit(name: str) -> str:
    """Where a model's use of its provider's limits is kept; `name` is one token."""
    return f"limit.{name}"


def tenant(name: str) -> str:
    """Where a tenant's quota, leases and spending are kept."""
    return f"tenant.{name}"


def dead(stream: str) -> str:
    """Where a message of a stream that cannot be handled is recorded."""
    return f"dead.{stream.lower()}"
