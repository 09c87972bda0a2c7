"""The loop as a pure fold: no I/O, no clock, no randomness. `evolve(loop, event) -> loop`.

The coordinator, the state service, `verify-log` and replay all fold with this function, so
anything that affects a loop's state must live here or in what it calls: `fold/` (the state, and
one file for each thing that an event can say), `iteration`, `marks` and `states`.
"""

from __future__ import annotations

from datetime import datetime

from loopwright.chain import LoopEvent
from loopwright.errors import UnreadableError
from loopwright.events import EventData, LoopAdmitted
from loopwright.fold.accepted import accept
from loopwright.fold.changes import stated
from loopwright.fold.families import child_ended
from loopwright.fold.settlements import settle
from loopwright.fold.state import Held, Loop, OpenGrant
from loopwright.fold.words import controlled
from loopwright.goal import Goal
from loopwright.states import may_follow

__all__ = ["Held", "Loop", "OpenGrant", "apply", "evolve"]


def evolve(loop: Loop | None, event: LoopEvent, *, seq: int, body_digest: str) -> Loop:
    """The loop after one more event of its log.

    `seq` is the event's stream sequence, `body_digest` the SHA-256 of its stored body. Raises
    UnreadableError where the event cannot follow: a gap, a broken chain, a second beginning, a
    change of state that is not in the table.
    """
    if loop is None:
        return _admitted(event, seq, body_digest)
    if event.n != loop.n + 1 or event.prev != loop.head:
        raise UnreadableError(
            f"loop {loop.id}: event {event.n} does not follow {loop.n}; the log is cut or altered"
        )
    place: dict[str, object] = {"n": event.n, "head": body_digest, "tip": seq}
    return _after(loop, event.data, event.time, seq, place)


def apply(loop: Loop, data: EventData, at: datetime) -> Loop:
    """The loop after what an event says, its place in the log apart: a grant's sequence is 0."""
    return _after(loop, data, at, 0, {})


def _after(loop: Loop, data: EventData, at: datetime, seq: int, place: dict[str, object]) -> Loop:
    if loop.ended is not None:
        raise UnreadableError(f"loop {loop.id}: {data.kind} follows its end")
    after = settle(loop, data.settles, at)
    after = accept(after, data, at)
    after = controlled(after, data.control, at)
    after = child_ended(after, data.child)
    update = stated(after, data, at, seq)
    state = update.get("state", after.state)
    if not may_follow(loop.state, state):
        raise UnreadableError(f"loop {loop.id}: {state} cannot follow {loop.state}")
    if data.warnings:
        update["warned"] = {**after.warned, **{w.budget: w.percent for w in data.warnings}}
    return after.model_copy(update={**update, "updated_at": at, **place})


def _admitted(event: LoopEvent, seq: int, body_digest: str) -> Loop:
    data = event.data
    if not isinstance(data, LoopAdmitted) or event.n != 0:
        raise UnreadableError(
            f"loop {event.subject}: the log begins with event {event.n}, {data.kind}; it is cut"
        )
    return Loop(
        id=event.subject,
        tenant=data.tenant,
        goal=data.goal,
        goal_digest=data.goal_digest,
        budget=data.goal.budget,
        limits=data.goal.limits,
        price=data.price,
        prices=data.prices,
        traceparent=event.traceparent,
        parent=data.parent,
        admitted_at=event.time,
        deadline=data.deadline,
        updated_at=event.time,
        n=0,
        head=body_digest,
        tip=seq,
        revision=_beginning(data.goal),
    )


def _beginning(goal: Goal) -> str | None:
    """The revision that the work begins on; None is the goal's own files."""
    if goal.origin is not None and goal.origin.revision is not None:
        return goal.origin.revision
    return goal.workspace.revision
