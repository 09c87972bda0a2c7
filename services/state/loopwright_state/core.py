"""What one event writes into the projections: pure, so that a rebuild gives the same bytes.

Nothing here depends on a clock, on the order of a dict, or on how events are cut into batches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from loopwright.chain import LoopEvent
from loopwright.errors import UnreadableError
from loopwright.loop import Loop, evolve
from loopwright.views import LoopView, view
from loopwright.wire import Wire

#: The form of what is written. Raise it with any change to keys, folds or views: projections in
#: an older form are then built anew from the log, and an older replica leaves newer ones alone.
LAYOUT = 3

#: All keys begin with this.
PREFIX = "lw:"
POSITION = f"{PREFIX}position"
ALL = f"{PREFIX}loops"
OPEN = f"{PREFIX}loops:open"
QUARANTINED = f"{PREFIX}quarantined"
#: Heads that were projected and that the stream no longer holds; a rebuild leaves them alone.
CUT = f"{PREFIX}cut"


def fold_key(loop: str) -> str:
    """The folded loop, as JSON."""
    return f"{PREFIX}fold:{loop}"


def head(loop: str, n: int, body_digest: str) -> str:
    """A loop's newest event, as the heads of cut logs are kept."""
    return json.dumps({"loop": loop, "n": n, "head": body_digest}, sort_keys=True)


def view_key(loop: str) -> str:
    """The loop's view, as JSON."""
    return f"{PREFIX}view:{loop}"


def spend_key(loop: str) -> str:
    """The loop's spending: position in the log → everything charged so far."""
    return f"{PREFIX}spend:{loop}"


def iterations_key(loop: str) -> str:
    """The loop's iterations, all of them: number → summary."""
    return f"{PREFIX}iterations:{loop}"


def tenant_key(tenant: str) -> str:
    """A tenant's loops by the time of their admission."""
    return f"{PREFIX}loops:tenant:{tenant}"


def state_key(state: str, tenant: str | None = None) -> str:
    """The loops in one state, of all tenants or of one, by the time of their admission."""
    every = f"{PREFIX}loops:state:{state}"
    return every if tenant is None else f"{every}:tenant:{tenant}"


@dataclass(frozen=True, slots=True)
class Writes:
    """What events change in the store; of two writes in one place the later counts."""

    values: dict[str, str] = field(default_factory=dict)
    """Key → JSON."""
    members: dict[tuple[str, str], float | None] = field(default_factory=dict)
    """(Index, loop) → score; None takes the loop out."""
    fields: dict[tuple[str, str], str] = field(default_factory=dict)
    """(Hash, field) → JSON."""

    def add(self, later: Writes) -> None:
        """Take in what comes after."""
        self.values.update(later.values)
        self.members.update(later.members)
        self.fields.update(later.fields)


@dataclass(frozen=True, slots=True)
class Known:
    """What is projected of one loop: its fold, and why it goes no further if it is quarantined."""

    loop: Loop | None = None
    quarantined: str | None = None


class MarkedView(LoopView):
    """The view of a loop whose log cannot be read any further than this."""

    quarantined: str
    """Why, in a sentence."""


def project(
    before: Loop | None, loop_id: str, event: LoopEvent, seq: int, body_digest: str
) -> tuple[Loop, Writes]:
    """The loop after the event stored for `loop_id`, and what that writes.

    Raises UnreadableError where the event cannot follow, or belongs to another loop.
    """
    if event.subject != loop_id:
        raise UnreadableError(f"event {event.id} is of loop {event.subject}, not of {loop_id}")
    if event.time.tzinfo is None:
        raise UnreadableError(f"event {event.id} has a time without a zone: {event.time}")
    loop = evolve(before, event, seq=seq, body_digest=body_digest)
    values = {
        fold_key(loop.id): _json(loop),
        view_key(loop.id): _json(view(loop)),
    }
    return loop, Writes(values, _indexed(before, loop), _series(before, loop))


def quarantine(before: Loop | None, loop_id: str, seq: int, reason: str) -> Writes:
    """What is written where a loop's log cannot be read on from `seq`; its fold stays as it is."""
    fields = {(QUARANTINED, loop_id): json.dumps({"reason": reason, "seq": seq}, sort_keys=True)}
    if before is None:
        return Writes(fields=fields)
    marked = MarkedView(**dict(view(before)), quarantined=reason)
    return Writes(
        {view_key(loop_id): _json(marked)},
        {**_leave(before), **_enter(before, "quarantined")},
        fields,
    )


def _indexed(before: Loop | None, loop: Loop) -> dict[tuple[str, str], float | None]:
    members = _leave(before) if before is not None else {}
    members |= _enter(loop, loop.state)
    admitted = loop.admitted_at.timestamp()
    if before is None:
        members |= {
            (ALL, loop.id): admitted,
            (OPEN, loop.id): admitted,
            (tenant_key(loop.tenant), loop.id): admitted,
        }
    if loop.ended is not None:
        members[OPEN, loop.id] = None
    return members


def _leave(loop: Loop) -> dict[tuple[str, str], float | None]:
    return {(key, loop.id): None for key in _state_keys(loop, loop.state)}


def _enter(loop: Loop, state: str) -> dict[tuple[str, str], float | None]:
    admitted = loop.admitted_at.timestamp()
    return {(key, loop.id): admitted for key in _state_keys(loop, state)}


def _state_keys(loop: Loop, state: str) -> tuple[str, str]:
    return state_key(state), state_key(state, loop.tenant)


def _series(before: Loop | None, loop: Loop) -> dict[tuple[str, str], str]:
    """A point where something was charged, and an iteration where one came to its end."""
    fields = {}
    if before is not None and loop.spent != before.spent:
        fields[spend_key(loop.id), str(loop.n)] = loop.spent.model_dump_json()
    last = loop.history[-1:]
    if last and (before is None or last != before.history[-1:]):
        fields[iterations_key(loop.id), str(last[0].iteration)] = _json(last[0])
    return fields


def _json(model: Wire) -> str:
    return model.model_dump_json(exclude_none=True, by_alias=True)
