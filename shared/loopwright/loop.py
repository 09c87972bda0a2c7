"""The loop as a pure fold: no I/O, no clock, no randomness. `evolve(loop, event) -> loop`.

The coordinator, the state service, `verify-log` and replay all fold with this function, so
anything that affects a loop's state must live here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from loopwright.budget import NOTHING, Amount, Price
from loopwright.chain import LoopEvent
from loopwright.errors import UnreadableError
from loopwright.events import (
    Best,
    ExecutionRequested,
    Grant,
    IterationSummary,
    LateResultRecorded,
    LoopAdmitted,
    LoopEnded,
    LoopHeld,
    LoopOutcome,
    PlanRequested,
    Reason,
    Settlement,
    VerificationRequested,
)
from loopwright.goal import Goal
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.subjects import Role
from loopwright.wire import Wire

LoopState = Literal["admitted", "planning", "executing", "verifying", "backing_off", "ended"]

#: How many iterations the fold remembers, so that a loop's cost does not grow with its length.
HISTORY = 20
#: How many settled grants the fold remembers, to tell a late result from a forged one.
SETTLED = 4


class OpenGrant(Wire):
    """A grant that is not settled, and where it was given."""

    grant: Grant
    seq: int
    """Stream sequence of the granting event."""


class SettledGrant(Wire):
    """A grant that was closed without its worker's result."""

    grant: Grant
    seq: int


class Loop(Wire):
    """A loop's state, folded from its log."""

    id: str
    tenant: str
    goal: Goal
    goal_digest: str
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
    """The last attempt of this step."""
    failures: int = 0
    """Failures in a row, over steps."""
    open: OpenGrant | None = None
    settled: tuple[SettledGrant, ...] = ()
    held_until: datetime | None = None
    wake_at: datetime | None = None
    """An armed timer will look at the loop again at this time, or earlier."""

    spent: Amount = NOTHING
    overruns: int = 0
    estimated: int = 0
    """Settlements charged in full because the real usage is not known."""

    revision: str | None = None
    plan: Plan | None = None
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    rule_uses: dict[str, int] = Field(default_factory=dict)
    history: tuple[IterationSummary, ...] = ()
    best: Best | None = None

    ended: LoopOutcome | None = None
    reason: Reason | None = None
    detail: str = ""
    ended_at: datetime | None = None

    @property
    def reserved(self) -> Amount:
        """What the open grant may still spend."""
        return self.open.grant.reserved if self.open else NOTHING


def evolve(loop: Loop | None, event: LoopEvent, *, seq: int, body_digest: str) -> Loop:
    """The loop after one more event of its log.

    `seq` is the event's stream sequence, `body_digest` the SHA-256 of its stored body. Raises
    UnreadableError where the event cannot follow: a gap, a broken chain, a second beginning.
    """
    if loop is None:
        return _admitted(event, seq, body_digest)
    if event.n != loop.n + 1 or event.prev != loop.head:
        raise UnreadableError(
            f"loop {loop.id}: event {event.n} does not follow {loop.n}; the log is cut or altered"
        )
    if loop.ended is not None:
        raise UnreadableError(f"loop {loop.id}: event {event.n} follows its end")
    base = settle(loop, event.data.settles).model_copy(
        update={"n": event.n, "head": body_digest, "tip": seq, "updated_at": event.time}
    )
    return _apply(base, event, seq)


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


def _apply(loop: Loop, event: LoopEvent, seq: int) -> Loop:
    data = event.data
    match data:
        case LoopAdmitted():
            raise UnreadableError(f"loop {loop.id}: admitted twice, again at event {event.n}")
        case PlanRequested():
            return _plan_requested(loop, data, event.time, seq)
        case ExecutionRequested():
            uses = dict(loop.rule_uses)
            if data.plan.rule and data.settles is not None and data.settles.role == "planner":
                uses[data.plan.rule] = uses.get(data.plan.rule, 0) + 1
            ran: dict[str, object] = {"plan": data.plan, "outcome": None, "rule_uses": uses}
            return _granted(loop, "executing", data.grant, seq, data.wake_at, ran)
        case VerificationRequested():
            done: dict[str, object] = {
                "plan": data.plan,
                "outcome": data.outcome,
                "revision": data.revision,
            }
            return _granted(loop, "verifying", data.grant, seq, data.wake_at, done)
        case LoopHeld():
            return loop.model_copy(
                update={"state": data.hold, "held_until": data.until, "wake_at": data.wake_at}
            )
        case LateResultRecorded():
            kept = tuple(item for item in loop.settled if item.seq != data.grant_seq)
            return loop.model_copy(update={"settled": kept})
        case LoopEnded():
            return _ended(loop, data, event.time)


def _granted(
    loop: Loop,
    state: LoopState,
    grant: Grant,
    seq: int,
    wake_at: datetime | None,
    changes: dict[str, object],
) -> Loop:
    return loop.model_copy(
        update={
            **changes,
            "state": state,
            "step": grant.role,
            "attempt": grant.attempt,
            "open": OpenGrant(grant=grant, seq=seq),
            "held_until": None,
            "wake_at": wake_at,
        }
    )


def _plan_requested(loop: Loop, data: PlanRequested, at: datetime, seq: int) -> Loop:
    changes: dict[str, object] = {}
    if data.grant.iteration != loop.iteration:
        if loop.iteration > 0:
            loop = finish_iteration(loop, data.plan, data.verdict, data.outcome, at)
        changes = {
            "iteration": data.grant.iteration,
            "iteration_started_at": at,
            "iteration_spent": loop.spent,
        }
    return _granted(loop, "planning", data.grant, seq, data.wake_at, changes)


def _ended(loop: Loop, data: LoopEnded, at: datetime) -> Loop:
    if data.verdict is not None or data.execution is not None:
        loop = finish_iteration(loop, data.plan, data.verdict, data.execution, at)
    return loop.model_copy(
        update={
            "state": "ended",
            "ended": data.outcome,
            "reason": data.reason,
            "detail": data.detail,
            "ended_at": at,
            "held_until": None,
            "wake_at": None,
        }
    )


def finish_iteration(
    loop: Loop, plan: Plan | None, verdict: Verdict | None, outcome: Outcome | None, at: datetime
) -> Loop:
    """Record what an iteration came to, and whether it is the best so far."""
    summary = summarise(loop, plan, verdict, outcome, at)
    update: dict[str, object] = {
        "history": (*loop.history, summary)[-HISTORY:],
        "outcome": outcome,
    }
    if summary.executed and verdict is not None:
        update |= {"verdict": verdict, "revision": verdict.revision, "best": _best(loop, verdict)}
    return loop.model_copy(update=update)


def summarise(
    loop: Loop, plan: Plan | None, verdict: Verdict | None, outcome: Outcome | None, at: datetime
) -> IterationSummary:
    """One line about the iteration that just came to its end."""
    failed = outcome is not None and not outcome.succeeded
    before = loop.verdict.passed if loop.verdict else frozenset()
    judged = None if failed else verdict
    started = loop.iteration_started_at or at
    spent = Amount(
        tokens=loop.spent.tokens - loop.iteration_spent.tokens,
        cost_microusd=loop.spent.cost_microusd - loop.iteration_spent.cost_microusd,
        actions=loop.spent.actions - loop.iteration_spent.actions,
    )
    names = [check.name for check in judged.checks] if judged else []
    return IterationSummary(
        iteration=loop.iteration,
        summary=plan.summary if plan else "",
        rule=plan.rule if plan else None,
        executed=not failed,
        score=judged.score if judged else None,
        passed=len(judged.passed) if judged else 0,
        checks=len(names),
        turned_green=tuple(n for n in names if judged and n in judged.passed - before),
        turned_red=tuple(n for n in names if judged and n in before - judged.passed),
        revision=judged.revision if judged else None,
        spent=spent,
        duration_s=max(0.0, (at - started).total_seconds()),
        note=_failed_action(outcome) if outcome and failed else "",
    )


def _failed_action(outcome: Outcome) -> str:
    for action in outcome.actions:
        if action.status == "failed":
            code = "" if action.exit_code is None else f" with exit code {action.exit_code}"
            why = f" ({action.failure})" if action.failure else ""
            return f"{action.tool} failed{code}{why}"
    return "the step failed"


def _best(loop: Loop, verdict: Verdict) -> Best:
    if loop.best is not None and loop.best.score >= verdict.score:
        return loop.best
    return Best(
        iteration=loop.iteration,
        revision=verdict.revision,
        score=verdict.score,
        passed=len(verdict.passed),
        checks=len(verdict.checks),
    )


def settle(loop: Loop, settlement: Settlement | None) -> Loop:
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
        "failures": _failures(loop.failures, settlement),
    }
    if settlement.status in ("worker_lost", "expired"):
        lost = SettledGrant(grant=loop.open.grant, seq=loop.open.seq)
        update["settled"] = (*loop.settled, lost)[-SETTLED:]
    if settlement.status not in ("done", "not_started") and settlement.usage is None:
        update["estimated"] = loop.estimated + 1
    return loop.model_copy(update=update)


def _failures(before: int, settlement: Settlement) -> int:
    match settlement.status:
        case "done":
            return 0
        case "not_started" | "ended":
            return before
        case "failed" | "worker_lost" | "expired":
            return before + 1
