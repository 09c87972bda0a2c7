"""Granting a step: each function makes the one event that does it, or ends the loop. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.events import (
    EventData,
    ExecutionRequested,
    PlanRequested,
    Settlement,
    VerificationRequested,
)
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan
from loopwright_coordinator.exits import end, no_call_fits, too_many_actions
from loopwright_coordinator.grants import (
    grant_execution,
    grant_plan,
    grant_verification,
    reserve_plan,
    with_wake,
)
from loopwright_coordinator.inputs import Append


def same_step(loop: Loop, settles: Settlement | None, now: datetime, nonce: str) -> Append:
    """Grant the step that is due once more, as a new attempt."""
    attempt = loop.attempt + 1
    match loop.step:
        case "planner":
            return plan_step(loop, settles, now, nonce, attempt=attempt)
        case "executor":
            assert loop.plan is not None
            return execution_step(loop, settles, loop.plan, now, nonce, attempt=attempt)
        case "verifier":
            assert loop.plan is not None
            return verification_step(
                loop, settles, loop.plan, loop.outcome, now, nonce, attempt=attempt
            )


def plan_step(
    loop: Loop, settles: Settlement | None, now: datetime, nonce: str, *, attempt: int
) -> Append:
    reserved = reserve_plan(loop)
    if reserved is None:
        return Append(end(loop, now, no_call_fits(loop), settles=settles))
    data = PlanRequested(
        settles=settles,
        grant=grant_plan(loop, reserved, now, nonce, attempt),
        revision=loop.revision,
        plan=loop.plan,
        outcome=loop.outcome,
        verdict=loop.verdict,
        history=loop.history,
        rule_uses=loop.rule_uses,
        price=loop.price,
    )
    return append(loop, data, now, nonce)


def execution_step(
    loop: Loop, settles: Settlement | None, plan: Plan, now: datetime, nonce: str, *, attempt: int
) -> Append:
    over = too_many_actions(loop, plan)
    if over is not None:
        return Append(end(loop, now, over, settles=settles))
    grant = grant_execution(loop, plan, now, nonce, attempt)
    data = ExecutionRequested(settles=settles, grant=grant, revision=loop.revision, plan=plan)
    return append(loop, data, now, nonce)


def verification_step(
    loop: Loop,
    settles: Settlement | None,
    plan: Plan,
    outcome: Outcome | None,
    now: datetime,
    nonce: str,
    *,
    attempt: int,
) -> Append:
    data = VerificationRequested(
        settles=settles,
        grant=grant_verification(loop, now, nonce, attempt),
        revision=outcome.revision if outcome else loop.revision,
        outcome=outcome,
        plan=plan,
    )
    return append(loop, data, now, nonce)


def append(loop: Loop, data: EventData, now: datetime, token: str | None = None) -> Append:
    woken, timer = with_wake(loop, data, now)
    return Append(woken, timer=timer, token=token)
