"""Granting a step and closing a grant: reserve before it is spent, settle after. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from loopwright.budget import NOTHING, Amount
from loopwright.errors import ErrorInfo
from loopwright.events import (
    EventData,
    ExecutionRequested,
    Grant,
    LoopHeld,
    PlanRequested,
    Settlement,
    SettlementStatus,
    VerificationRequested,
)
from loopwright.goal import OpenAI
from loopwright.loop import Loop
from loopwright.plan import Plan
from loopwright.results import Result

#: No model call fits in fewer tokens than this, so less is as good as nothing.
MIN_CALL_TOKENS = 512
#: A worker's result may be on its way when its deadline passes; look this much later, in seconds.
GRACE_S = 2.0
#: A timer due within this is not relied on: it may be firing right now.
WAKE_MARGIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Timer:
    """A durable timer: look at the loop again at `at`; `guard` names what it watches."""

    guard: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a loop may still reserve; None is without limit."""

    tokens: int | None
    cost_microusd: int | None
    actions: int | None


def remaining(loop: Loop) -> Remaining:
    """Cap less spent less reserved."""
    budget, used = loop.goal.budget, loop.spent + loop.reserved
    cost = budget.cost_microusd
    return Remaining(
        tokens=None if budget.tokens is None else budget.tokens - used.tokens,
        cost_microusd=None if cost is None else cost - used.cost_microusd,
        actions=None if budget.actions is None else budget.actions - used.actions,
    )


def reserve_plan(loop: Loop) -> Amount | None:
    """What a planning attempt may spend; None where the budget no longer covers a call."""
    spec = loop.goal.planner
    if not isinstance(spec, OpenAI):
        return NOTHING
    left = remaining(loop)
    tokens = _within(spec.max_input_tokens + spec.max_output_tokens, left.tokens)
    price = loop.price
    worst = price.cost_microusd(spec.max_input_tokens, spec.max_output_tokens) if price else 0
    cost = _within(worst, left.cost_microusd)
    if tokens < MIN_CALL_TOKENS or (worst > 0 and cost <= 0):
        return None
    return Amount(tokens=tokens, cost_microusd=cost)


def _within(wanted: int, left: int | None) -> int:
    return wanted if left is None else max(0, min(wanted, left))


def grant_plan(loop: Loop, reserved: Amount, now: datetime, nonce: str, attempt: int) -> Grant:
    """Leave to plan, in the loop's next or present iteration."""
    spec = loop.goal.planner
    iteration = loop.iteration if attempt > 1 else loop.iteration + 1
    return Grant(
        role="planner",
        iteration=iteration,
        attempt=attempt,
        token_digest=token_digest(nonce),
        deadline=_deadline(loop, now, loop.goal.limits.plan_time),
        reserved=reserved,
        models=(spec.model,) if isinstance(spec, OpenAI) else (),
        tools=loop.goal.tools,
    )


def grant_execution(loop: Loop, plan: Plan, now: datetime, nonce: str, attempt: int) -> Grant:
    """Leave to run the plan's actions."""
    return Grant(
        role="executor",
        iteration=loop.iteration,
        attempt=attempt,
        token_digest=token_digest(nonce),
        deadline=_deadline(loop, now, loop.goal.limits.execute_time),
        reserved=Amount(actions=len(plan.actions)),
        tools=loop.goal.tools,
    )


def grant_verification(loop: Loop, now: datetime, nonce: str, attempt: int) -> Grant:
    """Leave to judge the revision."""
    return Grant(
        role="verifier",
        iteration=loop.iteration,
        attempt=attempt,
        token_digest=token_digest(nonce),
        deadline=_deadline(loop, now, loop.goal.limits.verify_time),
    )


def token_digest(token: str) -> str:
    """What a grant's body says of the token that travels in its header."""
    return hashlib.sha256(token.encode()).hexdigest()


def _deadline(loop: Loop, now: datetime, seconds: float) -> datetime:
    return min(now + timedelta(seconds=seconds), loop.deadline)


def settle_result(loop: Loop, result: Result, error: ErrorInfo | None) -> Settlement:
    """Close the open grant with its worker's result: charge what was really used."""
    usage = result.usage
    charged = Amount(tokens=usage.tokens, cost_microusd=usage.cost_microusd, actions=usage.actions)
    reserved = loop.reserved
    return Settlement(
        role=result.role,
        iteration=result.iteration,
        attempt=result.attempt,
        grant_seq=result.grant_seq,
        status="failed" if error else "done",
        usage=usage,
        charged=charged,
        overrun=charged.exceeds(reserved),
        error=error,
        worker=result.worker,
    )


def settle_unheard(
    loop: Loop, status: SettlementStatus, error: ErrorInfo | None = None, worker: str | None = None
) -> Settlement | None:
    """Close the open grant without a result: charged in full, unless nothing was started."""
    if loop.open is None:
        return None
    grant = loop.open.grant
    return Settlement(
        role=grant.role,
        iteration=grant.iteration,
        attempt=grant.attempt,
        grant_seq=loop.open.seq,
        status=status,
        charged=NOTHING if status == "not_started" else grant.reserved,
        error=error,
        worker=worker,
    )


def next_look(loop: Loop) -> Timer:
    """When a quiet loop must be looked at, and what that look guards."""
    if loop.open is not None:
        grant = loop.open.grant
        guard = f"{grant.role}-{grant.iteration}-{grant.attempt}-deadline"
        at = grant.deadline + timedelta(seconds=GRACE_S)
    elif loop.held_until is not None:
        guard, at = f"hold-{loop.n}-until", loop.held_until
    else:
        guard, at = "loop-deadline", loop.deadline
    return Timer(guard, at) if at < loop.deadline else Timer("loop-deadline", loop.deadline)


def with_wake(loop: Loop, data: EventData, now: datetime) -> tuple[EventData, Timer | None]:
    """The event with the time of the loop's next look, and the timer that must be armed for it.

    A timer only says *look again*, so one that is already armed for an earlier moment serves:
    a loop that moves on quickly arms one timer per step time-out, not one per step.
    """
    match data:
        case PlanRequested() | ExecutionRequested() | VerificationRequested():
            grant = data.grant
            guard = f"{grant.role}-{grant.iteration}-{grant.attempt}-deadline"
            at = min(grant.deadline + timedelta(seconds=GRACE_S), loop.deadline)
        case LoopHeld():
            guard, at = f"hold-{loop.n + 1}-until", min(data.until, loop.deadline)
        case _:
            return data, None
    armed = loop.wake_at
    if armed is not None and now + timedelta(seconds=WAKE_MARGIN_S) < armed <= at:
        return data.model_copy(update={"wake_at": armed}), None
    return data.model_copy(update={"wake_at": at}), Timer(guard, at)
