"""The loop as a pure fold: no I/O, no clock, no randomness. `evolve(loop, event) -> loop`.

The coordinator, the state service, `verify-log` and replay all fold with this function, so
anything that affects a loop's state must live here (or in `iteration`, `marks` and `states`,
which it calls).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from pydantic import Field

from loopwright.budget import NOTHING, Amount, Budget, Price
from loopwright.chain import LoopEvent
from loopwright.control import Amend, Control, Nudge, Reject, Retry
from loopwright.errors import PATIENT, UnreadableError
from loopwright.events import (
    Best,
    EventData,
    ExecutionRequested,
    Grant,
    HoldKind,
    IterationSummary,
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
    Settlement,
    VerificationRequested,
    Wanted,
)
from loopwright.forecast import Forecast
from loopwright.goal import Goal, Limits
from loopwright.iteration import HISTORY, finish_iteration
from loopwright.marks import Mark
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.states import LoopState, may_follow
from loopwright.subjects import Role
from loopwright.wire import Wire

#: How many settled grants the fold remembers, to tell a late result from a forged one.
SETTLED = 4
#: How many control messages the fold remembers, to tell a repeat.
CONTROLS = 64
#: How many hints wait for the next plan; the oldest give way.
HINTS = 10

_WORK: dict[Role, LoopState] = {
    "planner": "planning",
    "executor": "executing",
    "verifier": "verifying",
}


class OpenGrant(Wire):
    """A grant that is not settled, and where it was given."""

    grant: Grant
    seq: int
    """Stream sequence of the granting event."""


class Held(Wire):
    """Why a loop waits, and until when."""

    kind: HoldKind
    until: datetime
    reason: Reason | None = None
    detail: str = ""
    wanted: Wanted | None = None


class Loop(Wire):
    """A loop's state, folded from its log."""

    id: str
    tenant: str
    goal: Goal
    goal_digest: str
    budget: Budget
    """The goal's, as amended."""
    limits: Limits
    """The goal's, as amended."""
    price: Price | None = None
    traceparent: str | None = None
    admitted_at: datetime
    deadline: datetime
    updated_at: datetime

    n: int
    """Position of the newest event."""
    head: str
    """SHA-256 of the newest event's body: what the next event's `prev` must be."""
    tip: int
    """Stream sequence of the newest event: what the next append expects."""

    state: LoopState = "admitted"
    iteration: int = 0
    iteration_started_at: datetime | None = None
    iteration_spent: Amount = NOTHING
    """What was spent when the iteration began."""
    step: Role = "planner"
    """Whose turn it is, also while a hold lasts."""
    attempt: int = 0
    """The last attempt of this step; 0 before its first."""
    failures: int = 0
    """Failures in a row, over steps."""
    strikes: int = 0
    """Those of them that count against `limits.attempts`."""
    failing_since: datetime | None = None
    """When the first of them came."""
    compact: int = 0
    """Context overflows in a row."""
    open: OpenGrant | None = None
    settled: tuple[OpenGrant, ...] = ()
    """The newest grants that were closed without their worker's result."""
    held: Held | None = None
    wake_at: datetime | None = None
    """An armed timer will look at the loop again at this time, or earlier."""

    spent: Amount = NOTHING
    overruns: int = 0
    estimated: int = 0
    """Settlements charged in full because the real usage is not known."""
    warned: dict[str, int] = Field(default_factory=dict)
    """Budget → the highest share that was warned of, in per cent."""

    revision: str | None = None
    plan: Plan | None = None
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    rule_uses: dict[str, int] = Field(default_factory=dict)
    history: tuple[IterationSummary, ...] = ()
    best: Best | None = None
    marks: tuple[Mark, ...] = ()
    """Of the newest iterations since the score last improved, polls left out."""
    since_best: int = 0
    """Iterations since the score last improved, polls left out."""
    notice: Notice | None = None
    noticed_at: int = 0
    """The iteration after which the notice came."""
    forecasts: tuple[Forecast, ...] = ()

    controls: tuple[str, ...] = ()
    """Ids of the newest control messages that were done."""
    hints: tuple[str, ...] = ()
    """What people said since the last plan that was accepted."""

    ended: LoopOutcome | None = None
    reason: Reason | None = None
    detail: str = ""
    ended_at: datetime | None = None

    @property
    def reserved(self) -> Amount:
        """What the open grant may still spend."""
        return self.open.grant.reserved if self.open else NOTHING

    @property
    def amended_limits(self) -> Limits | None:
        """The limits, where they are no longer the goal's."""
        return None if self.limits == self.goal.limits else self.limits


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
    after = _accept(after, data, at)
    after = controlled(after, data.control, at)
    update = _stated(after, data, at, seq)
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
        traceparent=event.traceparent,
        admitted_at=event.time,
        deadline=data.deadline,
        updated_at=event.time,
        n=0,
        head=body_digest,
        tip=seq,
        revision=data.goal.workspace.revision,
    )


def settle(loop: Loop, settlement: Settlement | None, at: datetime) -> Loop:
    """Close the open grant: charge it, count or clear failures."""
    if settlement is None:
        return loop
    if loop.open is None or loop.open.seq != settlement.grant_seq:
        raise UnreadableError(
            f"loop {loop.id}: a settlement answers grant {settlement.grant_seq}, which is not open"
        )
    update: dict[str, object] = {
        "open": None,
        "spent": loop.spent + settlement.charged,
        "overruns": loop.overruns + settlement.overrun,
        **_failures(loop, settlement, at),
    }
    if settlement.status in ("worker_lost", "expired", "stopped"):
        update["settled"] = (*loop.settled, loop.open)[-SETTLED:]
    usage = settlement.usage
    unheard = settlement.status not in ("done", "not_started") and usage is None
    if unheard or (usage is not None and usage.estimated):
        update["estimated"] = loop.estimated + 1
    return loop.model_copy(update=update)


def _failures(loop: Loop, settlement: Settlement, at: datetime) -> dict[str, object]:
    match settlement.status:
        case "done":
            return {"failures": 0, "strikes": 0, "failing_since": None, "compact": 0}
        case "not_started" | "stopped" | "ended":
            return {}
        case "failed" | "worker_lost" | "expired":
            kind = settlement.error.kind if settlement.error else "internal"
            return {
                "failures": loop.failures + 1,
                "strikes": loop.strikes + (kind not in PATIENT),
                "failing_since": loop.failing_since or at,
                "compact": loop.compact + (kind == "context_overflow"),
            }


def _accept(loop: Loop, data: EventData, at: datetime) -> Loop:
    """Take in the result that a settlement says is good: a plan, an outcome or a verdict."""
    if data.settles is None or data.settles.status != "done":
        return loop
    plan, outcome, verdict = _carried(data)
    match data.settles.role:
        case "planner":
            return loop if plan is None else _planned(loop, plan)
        case "executor" if outcome is not None and not outcome.succeeded:
            return finish_iteration(loop, None, outcome, at)
        case "executor":
            changes: dict[str, object] = {"step": "verifier", "attempt": 0}
            if outcome is not None:
                changes |= {"outcome": outcome, "revision": outcome.revision}
            return loop.model_copy(update=changes)
        case "verifier":
            return finish_iteration(loop, verdict, loop.outcome, at)


def _carried(data: EventData) -> tuple[Plan | None, Outcome | None, Verdict | None]:
    match data:
        case PlanRequested():
            return data.plan, data.outcome, data.verdict
        case ExecutionRequested():
            return data.plan, None, None
        case VerificationRequested():
            return data.plan, data.outcome, None
        case LoopHeld() | LoopEnded():
            return data.plan, data.execution, data.verdict
        case LoopAdmitted() | LoopControlled() | LateResultRecorded():
            return None, None, None


def _planned(loop: Loop, plan: Plan) -> Loop:
    uses = dict(loop.rule_uses)
    if plan.rule:
        uses[plan.rule] = uses.get(plan.rule, 0) + 1
    step: Role = "executor" if plan.actions else "verifier"
    return loop.model_copy(
        update={
            "plan": plan,
            "outcome": None,
            "rule_uses": uses,
            "step": step,
            "attempt": 0,
            "hints": (),
        }
    )


def controlled(loop: Loop, control: Control | None, at: datetime) -> Loop:
    """The loop after what a person's word changes by itself."""
    if control is None:
        return loop
    update: dict[str, object] = {"controls": (*loop.controls, control.id)[-CONTROLS:]}
    match control:
        case Nudge():
            update["hints"] = (*loop.hints, control.hint)[-HINTS:]
        case Reject():
            said = control.reason or "no reason was given"
            update["hints"] = (*loop.hints, f"A person rejected this: {said}")[-HINTS:]
            if loop.held and loop.held.wanted and loop.held.wanted.kind == "plan":
                loop = finish_iteration(loop, None, None, at, note=f"the plan was rejected: {said}")
        case Retry():
            update |= {"failures": 0, "strikes": 0, "failing_since": None}
        case Amend():
            update |= _amended(loop, control)
        case _:
            pass
    return loop.model_copy(update=update)


def _amended(loop: Loop, amend: Amend) -> dict[str, object]:
    """The new budget, limits and deadline; Budget and Limits have the fields of their changes."""
    budget = loop.budget.model_copy(update=amend.budget.model_dump(exclude_none=True))
    limits = loop.limits.model_copy(update=amend.limits.model_dump(exclude_none=True))
    changes: dict[str, object] = {"budget": budget, "limits": limits}
    if amend.budget.time is not None:
        changes["deadline"] = loop.admitted_at + timedelta(seconds=amend.budget.time)
    return changes


class _Changes(TypedDict, total=False):
    """Fields of the loop that an event sets by itself."""

    state: LoopState
    step: Role
    attempt: int
    open: OpenGrant
    settled: tuple[OpenGrant, ...]
    held: Held | None
    wake_at: datetime | None
    plan: Plan
    revision: str | None
    iteration: int
    iteration_started_at: datetime
    iteration_spent: Amount
    notice: Notice
    noticed_at: int
    forecasts: tuple[Forecast, ...]
    warned: dict[str, int]
    ended: LoopOutcome
    reason: Reason
    detail: str
    ended_at: datetime


def _stated(loop: Loop, data: EventData, at: datetime, seq: int) -> _Changes:
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
            )
            return {"state": data.hold, "held": held, "wake_at": data.wake_at}
        case LoopControlled():
            if data.control is not None and data.control.kind == "resume":
                return {"state": _WORK[loop.step], "held": None, "wake_at": data.wake_at}
            return {"wake_at": data.wake_at}
        case LateResultRecorded():
            return {"settled": tuple(i for i in loop.settled if i.seq != data.grant_seq)}
        case LoopEnded():
            return {
                "state": "ended",
                "ended": data.outcome,
                "reason": data.reason,
                "detail": data.detail,
                "ended_at": at,
                "held": None,
                "wake_at": None,
            }


def _granted(data: RequestData, seq: int) -> _Changes:
    grant = data.grant
    return {
        "state": _WORK[grant.role],
        "step": grant.role,
        "attempt": grant.attempt,
        "open": OpenGrant(grant=grant, seq=seq),
        "held": None,
        "wake_at": data.wake_at,
    }


def _new_plan(loop: Loop, data: PlanRequested, at: datetime) -> _Changes:
    changes: _Changes = {}
    if data.grant.iteration != loop.iteration:
        changes["iteration"] = data.grant.iteration
        changes["iteration_started_at"] = at
        changes["iteration_spent"] = loop.spent
    if data.notice is not None and data.notice != loop.notice:
        changes["notice"], changes["noticed_at"] = data.notice, loop.iteration
    if data.forecast is not None:
        changes["forecasts"] = (*loop.forecasts, data.forecast)[-HISTORY:]
    return changes
