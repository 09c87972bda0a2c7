"""The ends of a loop and the sentences that explain them. Pure.

The order in which exits are looked at, on every transition: cancelled, achieved, rejected,
deadline, budgets (iterations, tokens, dollars, actions), errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from loopwright.events import LoopEnded, LoopOutcome, Reason, Settlement
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan, Verdict
from loopwright_coordinator.grants import remaining, reserve_plan


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
    """The terminal event. `loop` has the settlement, verdict or outcome folded in already."""
    return LoopEnded(
        settles=settles,
        outcome=cause.outcome,
        reason=cause.reason,
        detail=cause.detail,
        verdict=verdict,
        execution=execution,
        plan=loop.plan if verdict or execution else None,
        goal_digest=loop.goal_digest,
        iterations=loop.iteration,
        spent=loop.spent,
        best=loop.best,
        duration_s=max(0.0, (now - loop.admitted_at).total_seconds()),
    )


def exhausted(loop: Loop, now: datetime) -> Exit | None:
    """The limit that keeps a settled loop from another iteration, in the documented order."""
    if now >= loop.deadline:
        return overdue(loop)
    budget = loop.goal.budget
    if loop.iteration >= budget.iterations:
        detail = f"{loop.iteration} of {budget.iterations} iterations are used; {_unmet(loop)}"
        return Exit("exhausted", "iterations", f"{detail}; raise budget.iterations")
    if reserve_plan(loop) is None:
        return no_call_fits(loop)
    return _no_actions(loop)


def overdue(loop: Loop) -> Exit:
    """The end of a loop whose wall-clock time is up."""
    detail = f"its {loop.goal.budget.time:g} s are over; {_unmet(loop)}; raise budget.time"
    return Exit("deadline", "time", detail)


def no_call_fits(loop: Loop) -> Exit:
    """The end of a loop whose tokens or dollars no longer cover a model call."""
    left, budget = remaining(loop), loop.goal.budget
    if left.cost_microusd is not None and left.cost_microusd <= 0:
        detail = f"${loop.spent.cost_microusd / 1e6:.4f} of ${budget.usd} are spent"
        return Exit("exhausted", "cost", f"{detail}; {_unmet(loop)}; raise budget.usd")
    detail = f"{loop.spent.tokens} of {budget.tokens} tokens are spent, too few are left for a call"
    return Exit("exhausted", "tokens", f"{detail}; {_unmet(loop)}; raise budget.tokens")


def too_many_actions(loop: Loop, plan: Plan) -> Exit | None:
    """Why a plan's actions cannot be reserved, if so."""
    left = remaining(loop).actions
    if left is None or len(plan.actions) <= left:
        return None
    cap = loop.goal.budget.actions
    detail = f"the plan wants {len(plan.actions)} actions, {max(0, left)} of {cap} are left"
    return Exit("exhausted", "actions", f"{detail}; {_unmet(loop)}; raise budget.actions")


def _no_actions(loop: Loop) -> Exit | None:
    left = remaining(loop).actions
    if left is None or left > 0:
        return None
    detail = f"{loop.spent.actions} of {loop.goal.budget.actions} actions are used"
    return Exit("exhausted", "actions", f"{detail}; {_unmet(loop)}; raise budget.actions")


def _unmet(loop: Loop) -> str:
    if loop.verdict is None:
        return "nothing was verified yet"
    failing, checks = loop.verdict.failing, loop.verdict.checks
    return f"{len(failing)} of {len(checks)} checks do not pass ({', '.join(failing[:5])})"
