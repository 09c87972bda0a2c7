"""Granting a step: each function makes the one event that does it, or holds or ends. Pure.

Nothing is granted past the loop's deadline, whoever asks: a result, a timer or a person.
"""

from __future__ import annotations

from datetime import datetime

from loopwright.children import spawned_by
from loopwright.events import (
    ExecutionRequested,
    Notice,
    PlanRequested,
    Settlement,
    VerificationRequested,
)
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan
from loopwright_coordinator.adapt import approach
from loopwright_coordinator.budgets import (
    forecast_of,
    judge_prices,
    price_for,
    reserve_plan,
    reserve_verification,
)
from loopwright_coordinator.exits import (
    end,
    exhausted,
    no_call_fits,
    out_of_budget,
    overdue,
    too_many_actions,
)
from loopwright_coordinator.families import join_step, spawn_step
from loopwright_coordinator.grants import grant_execution, grant_plan, grant_verification
from loopwright_coordinator.inputs import Append
from loopwright_coordinator.ladder import Fall


def same_step(loop: Loop, settles: Settlement | None, now: datetime, nonce: str) -> Append:
    """Grant the step that is due, as a new attempt, or as the first of a new iteration."""
    attempt = loop.attempt + 1
    if loop.iteration == 0 and loop.goal.pattern is not None:
        return spawn_step(loop, settles, now)
    if loop.step == "planner" and attempt == 1:
        over = exhausted(loop, now)
        if over is not None:
            return Append(out_of_budget(loop, now, over, settles=settles))
    match loop.step:
        case "planner":
            return plan_step(loop, settles, now, nonce, attempt=attempt)
        case "executor":
            assert loop.plan is not None
            if loop.join is not None:
                return join_step(loop, settles, now, nonce)
            if loop.outcome is not None and spawned_by(loop.plan) is not None:
                return spawn_step(loop, settles, now)
            return execution_step(loop, settles, loop.plan, now, nonce, attempt=attempt)
        case "verifier":
            assert loop.plan is not None
            return verification_step(
                loop, settles, loop.plan, loop.outcome, now, nonce, attempt=attempt
            )


def plan_step(
    loop: Loop,
    settles: Settlement | None,
    now: datetime,
    nonce: str,
    *,
    attempt: int,
    notice: Notice | None = None,
    fall: Fall | None = None,
) -> Append:
    """Ask for a plan; `loop` stands between two iterations, or before another attempt."""
    if now >= loop.deadline:
        return _too_late(loop, settles, now)
    loop = loop.model_copy(update={"approach": approach(loop, notice, fall, now)})
    reserved = reserve_plan(loop)
    if reserved is None:
        return Append(out_of_budget(loop, now, no_call_fits(loop), settles=settles))
    data = PlanRequested(
        settles=settles,
        grant=grant_plan(loop, reserved, now, nonce, attempt),
        revision=loop.revision,
        plan=loop.plan,
        outcome=loop.outcome,
        verdict=loop.verdict,
        history=loop.history,
        rule_uses=loop.rule_uses,
        price=price_for(loop),
        approach=loop.approach,
        hints=loop.hints,
        notice=notice or loop.notice,
        forecast=forecast_of(loop, now) if attempt == 1 else None,
    )
    return Append(data, token=nonce)


def execution_step(
    loop: Loop, settles: Settlement | None, plan: Plan, now: datetime, nonce: str, *, attempt: int
) -> Append:
    """Ask for the plan to be run."""
    if now >= loop.deadline:
        return _too_late(loop, settles, now)
    over = too_many_actions(loop, plan)
    if over is not None:
        return Append(out_of_budget(loop, now, over, settles=settles, plan=plan))
    grant = grant_execution(loop, plan, now, nonce, attempt)
    data = ExecutionRequested(settles=settles, grant=grant, revision=loop.revision, plan=plan)
    return Append(data, token=nonce)


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
    """Ask for the revision to be judged."""
    if now >= loop.deadline:
        return _too_late(loop, settles, now)
    reserved = reserve_verification(loop)
    if reserved is None:
        over = no_call_fits(loop)
        held = out_of_budget(loop, now, over, settles=settles, plan=plan, execution=outcome)
        return Append(held)
    revision = outcome.revision if outcome else loop.revision
    known = loop.verdict is not None and loop.verdict.revision == revision
    data = VerificationRequested(
        settles=settles,
        grant=grant_verification(loop, reserved, now, nonce, attempt),
        revision=revision,
        outcome=outcome,
        plan=plan,
        prices=judge_prices(loop),
        before=loop.verdict if known else None,
    )
    return Append(data, token=nonce)


def _too_late(loop: Loop, settles: Settlement | None, now: datetime) -> Append:
    """The end of a loop that is asked for a step after its deadline."""
    return Append(end(loop, now, overdue(loop), settles=settles))
