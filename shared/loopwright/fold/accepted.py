"""Taking in a result that is good: a plan, an outcome or a verdict. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.children import spawned_by
from loopwright.events import (
    ChildSettled,
    EventData,
    ExecutionRequested,
    LateResultRecorded,
    LoopAdmitted,
    LoopControlled,
    LoopEnded,
    LoopHeld,
    PlanRequested,
    VerificationRequested,
)
from loopwright.fold.state import Loop
from loopwright.iteration import finish_iteration
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.subjects import Role


def accept(loop: Loop, data: EventData, at: datetime) -> Loop:
    """Take in the result that a settlement says is good: a plan, an outcome or a verdict."""
    if data.settles is None or data.settles.status != "done":
        return loop
    plan, outcome, verdict = _carried(data)
    match data.settles.role:
        case "planner":
            return loop if plan is None else _planned(loop, plan, at)
        case "executor" if outcome is not None and not outcome.succeeded:
            return finish_iteration(loop, None, outcome, at)
        case "executor":
            return loop.model_copy(update=_executed(loop, outcome))
        case "verifier":
            return finish_iteration(loop, verdict, loop.outcome, at)


def _executed(loop: Loop, outcome: Outcome | None) -> dict[str, object]:
    """The step is done, unless the plan's last action starts loops: then they come first."""
    starts = loop.join is None and spawned_by(loop.plan) is not None
    changes: dict[str, object] = {} if starts else {"step": "verifier", "attempt": 0, "join": None}
    if outcome is not None:
        changes |= {"outcome": outcome, "revision": outcome.revision}
    return changes


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
        case LoopAdmitted() | LoopControlled() | ChildSettled() | LateResultRecorded():
            return None, None, None


def _planned(loop: Loop, plan: Plan, at: datetime) -> Loop:
    if plan.question:  # it ends the iteration; the answer is a hint for the next plan
        asked = loop.model_copy(update={"plan": plan, "hints": ()})
        return finish_iteration(asked, None, None, at, note=f"asked a person: {plan.question}")
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
