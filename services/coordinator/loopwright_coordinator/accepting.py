"""Accepting what came: is the result what its grant asked for, and what follows from it. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.children import spawned_by
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import Wanted
from loopwright.fold.settlements import settle
from loopwright.goal import CommandPlanner, OpenAI, Playbook, Rule
from loopwright.loop import Loop
from loopwright.marks import plan_digest
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    Result,
    StepFailed,
    VerdictReached,
    WorkerLost,
)
from loopwright.subjects import Role
from loopwright.tools import action_faults, plan_faults
from loopwright_coordinator.exits import end, overdue
from loopwright_coordinator.failures import after_failure, failed
from loopwright_coordinator.families import refused_spawn, spawn_step, with_what_ran
from loopwright_coordinator.grants import settle_result, settle_unheard
from loopwright_coordinator.inputs import Append
from loopwright_coordinator.iterations import ask, brief_of, next_iteration
from loopwright_coordinator.steps import execution_step, verification_step


def accept(loop: Loop, result: Result, now: datetime, nonce: str) -> Append:
    """What a result of the open grant leads to; StepError where it cannot be accepted."""
    body = result.body
    match body:
        case PlanProposed():
            _expect(loop, result, "planner")
            return _planned(loop, result, body.plan, now, nonce)
        case ExecutionFinished():
            _expect(loop, result, "executor")
            return _executed(loop, result, body.outcome, now, nonce)
        case VerdictReached():
            _expect(loop, result, "verifier")
            return _verified(loop, result, body.verdict, now, nonce)
        case StepFailed():
            return failed(loop, result, body.error, now, nonce)
        case WorkerLost():
            error = ErrorInfo(kind="worker_lost", message=f"the {loop.step} went silent")
            settles = settle_unheard(loop, "worker_lost", error, result.worker)
            return after_failure(loop, settles, error, now, nonce)


def _expect(loop: Loop, result: Result, role: Role) -> None:
    if result.role != role or loop.step != role:
        raise StepError("internal", f"a {result.role} answered the {loop.step}'s grant")


def _planned(loop: Loop, result: Result, plan: Plan, now: datetime, nonce: str) -> Append:
    _refuse_plan(loop, plan)
    settles = settle_result(loop, result, None)
    after = settle(loop, settles, now)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    if plan.question:
        return Append(ask(after, settles, Wanted(kind="question", of=plan_digest(plan)), now, plan))
    if not plan.actions:
        return verification_step(after, settles, plan, None, now, nonce, attempt=1)
    if "plan" in loop.goal.approvals:
        brief = brief_of(after, after.verdict, plan)
        wanted = Wanted(kind="plan", of=plan_digest(plan), brief=brief)
        return Append(ask(after, settles, wanted, now, plan))
    return execution_step(after, settles, plan, now, nonce, attempt=1)


def _refuse_plan(loop: Loop, plan: Plan) -> None:
    """What the planner should have refused already is refused here again."""
    for index, action in enumerate(plan.actions):
        for fault in action_faults(action, loop.goal.tools, f"actions[{index}]"):
            raise StepError("permission_denied", f"the plan is refused: {fault}")
    for fault in plan_faults(plan.actions, "actions"):
        raise StepError("permission_denied", f"the plan is refused: {fault}")
    for fault in refused_spawn(loop, plan):
        raise StepError("invalid_arguments", f"the plan is refused: {fault}")
    rules = _rules(loop)
    if rules is not None:
        times = {rule.name: rule.times for rule in rules}
        if loop.rule_uses.get(plan.rule or "", 0) >= times.get(plan.rule or "", 0):
            raise StepError("invalid_output", f"the rule '{plan.rule}' has no uses left")


def _rules(loop: Loop) -> tuple[Rule, ...] | None:
    """The rules that the open grant plans by; None where a model plans."""
    match loop.goal.planner:
        case Playbook(rules=rules):
            return rules
        case OpenAI(playbook=rules):
            return rules if loop.approach and loop.approach.kind == "playbook" else None
        case CommandPlanner():
            return None


def _executed(loop: Loop, result: Result, outcome: Outcome, now: datetime, nonce: str) -> Append:
    settles = settle_result(loop, result, None)
    after = settle(loop, settles, now)
    if loop.join is not None:
        outcome = with_what_ran(loop, outcome)
    if not outcome.succeeded:
        return next_iteration(after, settles, now, nonce, outcome=outcome)
    assert loop.plan is not None
    if loop.join is None and spawned_by(loop.plan) is not None:
        return spawn_step(after, settles, now, outcome)
    return verification_step(after, settles, loop.plan, outcome, now, nonce, attempt=1)


def _verified(loop: Loop, result: Result, verdict: Verdict, now: datetime, nonce: str) -> Append:
    verdict = _bound(loop, verdict)
    settles = settle_result(loop, result, None)
    after = settle(loop, settles, now)
    return next_iteration(after, settles, now, nonce, outcome=loop.outcome, verdict=verdict)


def _bound(loop: Loop, verdict: Verdict) -> Verdict:
    """The verdict, if it is about the granted revision and every check; its score recomputed."""
    if loop.revision is not None and verdict.revision != loop.revision:
        message = f"the verdict is about {verdict.revision}, {loop.revision} was to be judged"
        raise StepError("invalid_output", message)
    if tuple(check.name for check in verdict.checks) != loop.goal.check_names:
        raise StepError("invalid_output", "the verdict does not hold every check once, in order")
    return verdict.model_copy(update={"score": loop.goal.score(verdict.passed)})
