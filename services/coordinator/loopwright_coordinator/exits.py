"""The ends of a loop, the holds of a person, and the sentences that explain them. Pure.

The order in which exits are looked at, on every transition: cancelled, achieved, rejected,
deadline, budgets (iterations, tokens, dollars, actions), stuck, errors in a row, a dependency
down past its patience, an expired hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from loopwright.events import LoopEnded, LoopHeld, LoopOutcome, Reason, Settlement
from loopwright.family import sliced
from loopwright.forecast import judge_forecasts
from loopwright.iteration import as_best
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan, Verdict
from loopwright_coordinator.budgets import remaining, reserve_plan, totals


@dataclass(frozen=True, slots=True)
class Exit:
    """An outcome with its reason code and the sentence for people."""

    outcome: LoopOutcome
    reason: Reason
    detail: str


def end(
    loop: Loop,
    now: datetime,
    cause: Exit,
    *,
    settles: Settlement | None = None,
    verdict: Verdict | None = None,
    execution: Outcome | None = None,
) -> LoopEnded:
    """The terminal event. `loop` has the settlement, verdict or outcome folded in already.

    What is achieved is the best, also where an earlier iteration has the same score: it is this
    revision that is verified, and that a person may have approved.
    """
    achieved = loop.verdict if cause.outcome == "achieved" else None
    return LoopEnded(
        settles=settles,
        outcome=cause.outcome,
        reason=cause.reason,
        detail=cause.detail,
        verdict=verdict,
        execution=execution,
        plan=loop.plan if verdict or execution else None,
        goal_digest=loop.goal_digest,
        iterations=loop.iterations,
        spent=loop.spent + sliced(loop.children),
        best=as_best(loop, achieved) if achieved else loop.best,
        duration_s=max(0.0, (now - loop.admitted_at).total_seconds()),
        forecast_error=judge_forecasts(loop.forecasts, totals(loop, now)),
    )


def out_of_budget(
    loop: Loop,
    now: datetime,
    cause: Exit,
    *,
    settles: Settlement | None = None,
    plan: Plan | None = None,
    verdict: Verdict | None = None,
    execution: Outcome | None = None,
) -> LoopEnded | LoopHeld:
    """The end of a loop whose budget is used up, or its wait for more; time is never waited for."""
    if cause.outcome != "exhausted" or loop.goal.on_exhausted == "stop":
        return end(loop, now, cause, settles=settles, verdict=verdict, execution=execution)
    return LoopHeld(
        settles=settles,
        hold="budget_exhausted",
        until=expiry(loop, now),
        reason=cause.reason,
        detail=cause.detail,
        plan=plan or (loop.plan if verdict or execution else None),
        verdict=verdict,
        execution=execution,
    )


def expiry(loop: Loop, now: datetime) -> datetime:
    """When a hold that a person must end has lasted too long."""
    return min(now + timedelta(seconds=loop.limits.hold_time), loop.deadline)


def exhausted(loop: Loop, now: datetime) -> Exit | None:
    """The limit that keeps a settled loop from another iteration, in the documented order."""
    if now >= loop.deadline:
        return overdue(loop)
    most = loop.budget.iterations
    if loop.iterations >= most:
        detail = f"{loop.iterations} of {most} iterations are used; {unmet(loop)}"
        return Exit("exhausted", "iterations", f"{detail}; {_raise(loop, 'iterations')}")
    if reserve_plan(loop) is None:
        return no_call_fits(loop)
    return _no_actions(loop)


def overdue(loop: Loop) -> Exit:
    """The end of a loop whose wall-clock time is up."""
    held = f"it was held ({loop.held.kind}: {loop.held.detail})" if loop.held else unmet(loop)
    detail = f"its {loop.budget.time:g} s are over; {held}; raise budget.time"
    return Exit("deadline", "time", detail)


def no_call_fits(loop: Loop) -> Exit:
    """The end of a loop whose tokens or dollars no longer cover a model call."""
    left, budget = remaining(loop), loop.budget
    if left.cost_microusd is not None and left.cost_microusd <= 0:
        detail = f"${loop.spent.cost_microusd / 1e6:.4f} of ${budget.usd} are spent"
        return Exit("exhausted", "cost", f"{detail}; {unmet(loop)}; {_raise(loop, 'usd')}")
    detail = f"{loop.spent.tokens} of {budget.tokens} tokens are spent, too few are left for a call"
    return Exit("exhausted", "tokens", f"{detail}; {unmet(loop)}; {_raise(loop, 'tokens')}")


def too_many_actions(loop: Loop, plan: Plan) -> Exit | None:
    """Why a plan's actions cannot be reserved, if so."""
    left = remaining(loop).actions
    if left is None or len(plan.actions) <= left:
        return None
    cap = loop.budget.actions
    detail = f"the plan wants {len(plan.actions)} actions, {max(0, left)} of {cap} are left"
    return Exit("exhausted", "actions", f"{detail}; {unmet(loop)}; {_raise(loop, 'actions')}")


def _no_actions(loop: Loop) -> Exit | None:
    left = remaining(loop).actions
    if left is None or left > 0:
        return None
    detail = f"{loop.spent.actions} of {loop.budget.actions} actions are used"
    return Exit("exhausted", "actions", f"{detail}; {unmet(loop)}; {_raise(loop, 'actions')}")


def _raise(loop: Loop, budget: str) -> str:
    """The way out of an exhausted budget: while the loop waits, a command; else the goal."""
    if loop.goal.on_exhausted == "stop":
        return f"raise budget.{budget}"
    return f"raise it with: loopwright amend {loop.id} --{budget} N"


def expired(loop: Loop) -> Exit:
    """The end of a loop that waited for a person too long."""
    assert loop.held is not None
    held, waited = loop.held, f"nobody answered within {loop.limits.hold_time:g} s"
    match held.kind:
        case "budget_exhausted":
            return Exit("exhausted", held.reason or "iterations", f"{held.detail} ({waited})")
        case "blocked":
            return Exit("failed", "dependency", f"{held.detail} ({waited})")
        case _:
            return Exit("failed", "hold_expired", f"{held.detail} ({waited})")


def unmet(loop: Loop) -> str:
    """What keeps the loop from being achieved."""
    if loop.verdict is None:
        return "nothing was verified yet"
    failing, checks = loop.verdict.failing, loop.verdict.checks
    return f"{len(failing)} of {len(checks)} checks do not pass ({', '.join(failing[:5])})"
