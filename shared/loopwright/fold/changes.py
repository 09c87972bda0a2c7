"""The fields that each kind of event sets by itself: its state, its grant, its hold. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from loopwright.approach import Approach
from loopwright.budget import Amount
from loopwright.errors import UnreadableError
from loopwright.events import (
    Best,
    ChildSettled,
    EventData,
    ExecutionRequested,
    LateResultRecorded,
    LoopAdmitted,
    LoopControlled,
    LoopEnded,
    LoopHeld,
    LoopOutcome,
    Notice,
    PlanRequested,
    Reason,
    RequestData,
    VerificationRequested,
)
from loopwright.family import ChildState, Join, abandoned, known, sliced
from loopwright.fold.state import Held, Loop, OpenGrant
from loopwright.forecast import Forecast
from loopwright.iteration import HISTORY
from loopwright.plan import Plan
from loopwright.states import LoopState
from loopwright.subjects import Role

_WORK: dict[Role, LoopState] = {
    "planner": "planning",
    "executor": "executing",
    "verifier": "verifying",
}


class Changes(TypedDict, total=False):
    """Fields of the loop that an event sets by itself."""

    state: LoopState
    step: Role
    attempt: int
    open: OpenGrant
    settled: tuple[OpenGrant, ...]
    held: Held | None
    failing_since: datetime
    wake_at: datetime | None
    plan: Plan
    revision: str | None
    iteration: int
    iteration_started_at: datetime
    iteration_spent: Amount
    notice: Notice
    noticed_at: int
    approach: Approach | None
    forecasts: tuple[Forecast, ...]
    warned: dict[str, int]
    children: tuple[ChildState, ...]
    join: Join | None
    spent: Amount
    ended: LoopOutcome
    best: Best | None
    reason: Reason
    detail: str
    ended_at: datetime


def stated(loop: Loop, data: EventData, at: datetime, seq: int) -> Changes:
    match data:
        case LoopAdmitted():
            raise UnreadableError(f"loop {loop.id}: it is admitted a second time")
        case PlanRequested():
            return {**_new_plan(loop, data, at), **_granted(data, seq)}
        case ExecutionRequested():
            return {"plan": data.plan, **_granted(data, seq)}
        case VerificationRequested():
            return {"plan": data.plan, "revision": data.revision, **_granted(data, seq)}
        case LoopHeld():
            held = Held(
                kind=data.hold,
                until=data.until,
                reason=data.reason,
                detail=data.detail,
                wanted=data.wanted,
                dependency=data.dependency,
            )
            started = _started(loop, data, at) if data.children else Changes()
            return {
                "state": data.hold,
                "held": held,
                "wake_at": data.wake_at,
                **_down(loop, data, at),
                **started,
            }
        case LoopControlled():
            if data.control is not None and data.control.kind == "resume":
                return {"state": _WORK[loop.step], "held": None, "wake_at": data.wake_at}
            return {"wake_at": data.wake_at}
        case ChildSettled():
            return {"wake_at": data.wake_at}
        case LateResultRecorded():
            return {"settled": tuple(i for i in loop.settled if i.seq != data.grant_seq)}
        case LoopEnded():
            return {
                "state": "ended",
                "ended": data.outcome,
                "best": data.best,
                "reason": data.reason,
                "detail": data.detail,
                "ended_at": at,
                "held": None,
                "wake_at": None,
                "spent": loop.spent + sliced(loop.children),
                "children": abandoned(loop.children),
            }


def _down(loop: Loop, data: LoopHeld, at: datetime) -> Changes:
    """A dependency that is down is waited for within the patience, whether a step failed or not."""
    if data.dependency is None:
        return {}
    return {"failing_since": loop.failing_since or at}


def _started(loop: Loop, data: LoopHeld, at: datetime) -> Changes:
    """Loops were started: by a plan, or by the goal itself, which is its first iteration."""
    changes: Changes = {
        "children": (*loop.children, *map(known, data.children)),
        "join": data.join,
        "step": "executor",
    }
    if loop.iteration == 0 and data.plan is not None:
        changes |= {"iteration": 1, "iteration_started_at": at, "plan": data.plan}
    return changes


def _granted(data: RequestData, seq: int) -> Changes:
    grant = data.grant
    return {
        "state": _WORK[grant.role],
        "step": grant.role,
        "attempt": grant.attempt,
        "open": OpenGrant(grant=grant, seq=seq),
        "held": None,
        "wake_at": data.wake_at,
    }


def _new_plan(loop: Loop, data: PlanRequested, at: datetime) -> Changes:
    changes: Changes = {"approach": data.approach}
    if data.grant.iteration != loop.iteration:
        changes["iteration"] = data.grant.iteration
        changes["iteration_started_at"] = at
        changes["iteration_spent"] = loop.spent
    if data.notice is not None and data.notice != loop.notice:
        changes["notice"], changes["noticed_at"] = data.notice, loop.iteration
    if data.forecast is not None:
        changes["forecasts"] = (*loop.forecasts, data.forecast)[-HISTORY:]
    return changes
