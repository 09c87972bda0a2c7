"""The last hand on every event: a pause holds, the log has a cap, warnings, the next look. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from loopwright.breaker import Refuse
from loopwright.control import Control
from loopwright.events import (
    ChildSettled,
    EventData,
    ExecutionRequested,
    HoldKind,
    LateResultRecorded,
    LoopAdmitted,
    LoopControlled,
    LoopEnded,
    LoopHeld,
    PlanRequested,
    VerificationRequested,
)
from loopwright.fold.settlements import settle
from loopwright.loop import Loop, apply
from loopwright_coordinator.breakers import held_by_a_breaker
from loopwright_coordinator.budgets import warnings_of
from loopwright_coordinator.detour import detoured
from loopwright_coordinator.exits import Exit, end
from loopwright_coordinator.grants import settle_unheard
from loopwright_coordinator.inputs import Append, Decision, Ignore, Timer

#: A worker's result may be on its way when its deadline passes; look this much later, in seconds.
GRACE_S = 2.0
#: Holds that last until a word, or the children's end, or the loop's own deadline.
UNTIMED: tuple[HoldKind, ...] = ("paused", "awaiting_children")
#: A timer due within this is not relied on: it may be firing right now.
WAKE_MARGIN_S = 5.0


def sealed(
    loop: Loop,
    decision: Decision,
    now: datetime,
    control: Control | None,
    down: Mapping[str, Refuse],
) -> Decision:
    """The decision as it is to be carried out; `control` is the person's word that it does."""
    if not isinstance(decision, Append):
        return decision
    data = decision.data.model_copy(update={"control": control}) if control else decision.data
    data = _held_by_a_pause(loop, data)
    data = held_by_a_breaker(loop, detoured(loop, data, now, down), now, down)
    if loop.n + 2 >= loop.limits.events and not isinstance(data, LoopEnded):
        if isinstance(data, LateResultRecorded):
            return Ignore("the log is at its cap")
        data = _cut_short(loop, data, now)
    after = apply(loop, data, now)
    if isinstance(data, PlanRequested | LoopHeld | LoopControlled | ChildSettled):
        found = warnings_of(loop, after, now)
        data = data.model_copy(update={"warnings": found}) if found else data
    data, timer = _with_wake(loop, after, data, now)
    granted = after.open is not None and after.open.seq == 0
    return replace(decision, data=data, timer=timer, token=decision.token if granted else None)


def _held_by_a_pause(loop: Loop, data: EventData) -> EventData:
    """While a loop is paused its running step may finish; what would follow waits."""
    resumed = data.control is not None and data.control.kind == "resume"
    if loop.state != "paused" or resumed:
        return data
    held = LoopHeld(
        settles=data.settles,
        control=data.control,
        hold="paused",
        until=loop.deadline,
        detail=loop.held.detail if loop.held else "",
    )
    match data:
        case PlanRequested():
            accepts = {"plan": data.plan, "execution": data.outcome, "verdict": data.verdict}
        case ExecutionRequested():
            accepts = {"plan": data.plan}
        case VerificationRequested():
            accepts = {"plan": data.plan, "execution": data.outcome}
        case LoopHeld(hold="awaiting_children"):
            accepts = {"execution": data.execution}
        case LoopHeld(hold="backing_off"):
            accepts = {}
        case _:
            return data
    done = data.settles is not None and data.settles.status == "done"
    return held.model_copy(update=accepts) if done else held


def _cut_short(loop: Loop, data: EventData, now: datetime) -> LoopEnded:
    """The end of a loop whose log is full."""
    settles = data.settles or settle_unheard(loop, "ended")
    if settles is not None and settles.status == "done":
        # Its result is not looked at any more; what it used is charged.
        settles = settles.model_copy(update={"status": "failed"})
    cap = loop.limits.events
    detail = f"its log has {loop.n + 1} events, limits.events is {cap}; raise limits.events"
    after = settle(loop, settles, now)
    ended = end(after, now, Exit("failed", "events", detail), settles=settles)
    return ended.model_copy(update={"control": data.control})


def next_look(loop: Loop) -> Timer:
    """When a quiet loop must be looked at, and what that look guards."""
    if loop.open is not None:
        grant = loop.open.grant
        guard = f"{grant.role}-{grant.iteration}-{grant.attempt}-deadline"
        at = grant.deadline + timedelta(seconds=GRACE_S)
    elif loop.held is not None and loop.held.kind not in UNTIMED:
        guard, at = f"hold-{loop.held.kind}", loop.held.until
    else:
        guard, at = "loop-deadline", loop.deadline
    return Timer(guard, at) if at < loop.deadline else Timer("loop-deadline", loop.deadline)


def _with_wake(
    before: Loop, after: Loop, data: EventData, now: datetime
) -> tuple[EventData, Timer | None]:
    """The event with the time of the loop's next look, and the timer that must be armed for it.

    A timer only says *look again*, so one that is already armed for an earlier moment serves:
    a loop that moves on quickly arms one timer per step time-out, not one per step.
    """
    if isinstance(data, LoopAdmitted | LateResultRecorded | LoopEnded):
        return data, None
    timer, armed = next_look(after), before.wake_at
    if armed is not None and now + timedelta(seconds=WAKE_MARGIN_S) < armed <= timer.at:
        return data.model_copy(update={"wake_at": armed}), None
    return data.model_copy(update={"wake_at": timer.at}), timer
