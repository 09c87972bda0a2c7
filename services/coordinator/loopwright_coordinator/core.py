"""The coordinator's decisions as a pure function: no I/O, no clock, no randomness.

`decide(loop, input, now, nonce)` says what one input means to one loop: the one event to append,
or why nothing is. What it may not make itself, the time and the nonce of an attempt's token, is
part of its input, so the same arguments always give the same decision.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta

from loopwright.control import Control
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import (
    LateResultRecorded,
    LoopHeld,
    Settlement,
)
from loopwright.goal import OpenAI, Playbook
from loopwright.loop import Loop, finish_iteration, settle
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
from loopwright.tools import action_faults
from loopwright_coordinator.exits import (
    Exit,
    end,
    exhausted,
    overdue,
    too_many_actions,
)
from loopwright_coordinator.grants import (
    next_look,
    settle_result,
    settle_unheard,
)
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ControlArrived,
    Decision,
    Ignore,
    Input,
    ResultArrived,
    TakeClaim,
    Woken,
)
from loopwright_coordinator.policy import POLICY, End, backoff_s
from loopwright_coordinator.steps import (
    append,
    execution_step,
    plan_step,
    same_step,
    verification_step,
)


def decide(loop: Loop, received: Input, now: datetime, nonce: str) -> Decision:
    """What one input means to one loop."""
    if loop.ended is not None:
        return Ignore(f"the loop has ended: {loop.ended}")
    match received:
        case Begin():
            return _begin(loop, received, now, nonce)
        case ResultArrived():
            return _result(loop, received, now, nonce)
        case ControlArrived():
            return _cancel(loop, received.control, now)
        case Woken():
            return _woken(loop, received, now, nonce)


def _begin(loop: Loop, received: Begin, now: datetime, nonce: str) -> Decision:
    if loop.state != "admitted":
        return Ignore("the loop has begun already")
    refused = _refused(loop, received)
    if refused is not None:
        return Append(end(loop, now, refused))
    over = exhausted(loop, now)
    return Append(end(loop, now, over)) if over else plan_step(loop, None, now, nonce, attempt=1)


def _refused(loop: Loop, received: Begin) -> Exit | None:
    """Why policy rejects a valid goal, if it does."""
    usd, planner = loop.goal.budget.usd, loop.goal.planner
    if isinstance(planner, OpenAI) and usd is not None and loop.price is None:
        detail = (
            f"no price is known for the model '{planner.model}', so a dollar budget cannot hold; "
            "set planner.price, or budget.tokens without budget.usd"
        )
        return Exit("rejected", "unknown_price", detail)
    if received.max_usd is not None and usd is not None and usd > received.max_usd:
        detail = f"budget.usd is {usd}, this installation allows {received.max_usd} a goal"
        return Exit("rejected", "policy_cap", detail)
    return None


def _cancel(loop: Loop, control: Control, now: datetime) -> Append:
    detail = f"cancelled: {control.reason}" if control.reason else "cancelled on request"
    settles = settle_unheard(loop, "ended")
    cause = Exit("cancelled", "requested", detail)
    return Append(end(settle(loop, settles), now, cause, settles=settles), stop=True)


def _woken(loop: Loop, received: Woken, now: datetime, nonce: str) -> Decision:
    over = now >= loop.deadline
    missed = loop.open is not None and now >= loop.open.grant.deadline
    if loop.open is not None and (over or missed) and received.claim_won is None:
        return TakeClaim(loop.open.grant)
    if over:
        settles = settle_unheard(loop, "not_started" if received.claim_won else "ended")
        return Append(end(settle(loop, settles), now, overdue(loop), settles=settles), stop=True)
    if missed:
        return _missed(loop, claim_won=bool(received.claim_won), now=now, nonce=nonce)
    if loop.held_until is not None and now >= loop.held_until:
        return same_step(loop, None, now, nonce)
    return Arm(next_look(loop))


def _missed(loop: Loop, *, claim_won: bool, now: datetime, nonce: str) -> Append:
    """A grant's deadline passed: released if nothing was started, else charged in full."""
    assert loop.open is not None
    if claim_won:
        settles = settle_unheard(loop, "not_started")
        return same_step(settle(loop, settles), settles, now, nonce)
    grant = loop.open.grant
    message = f"the {grant.role} did not answer before its deadline, {grant.deadline.isoformat()}"
    error = ErrorInfo(kind="timeout", message=message)
    settles = settle_unheard(loop, "expired", error)
    return replace(_retry(loop, settles, error, now, nonce), stop=True)


def _result(loop: Loop, received: ResultArrived, now: datetime, nonce: str) -> Decision:
    result = received.result
    if loop.open is None or loop.open.seq != result.grant_seq:
        return _late(loop, received)
    if not hmac.compare_digest(loop.open.grant.token_digest, received.token_digest):
        return Ignore("the result carries another token than its grant")
    try:
        return _accept(loop, result, now, nonce)
    except StepError as refused:
        return _failed(loop, result, refused.info, now, nonce)


def _accept(loop: Loop, result: Result, now: datetime, nonce: str) -> Append:
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
            return _failed(loop, result, body.error, now, nonce)
        case WorkerLost():
            error = ErrorInfo(kind="worker_lost", message=f"the {loop.step} went silent")
            settles = settle_unheard(loop, "worker_lost", error, result.worker)
            return _retry(loop, settles, error, now, nonce)


def _late(loop: Loop, received: ResultArrived) -> Decision:
    """A result of an attempt that is settled changes nothing; its usage is kept."""
    result = received.result
    for item in loop.settled:
        known = hmac.compare_digest(item.grant.token_digest, received.token_digest)
        if item.seq == result.grant_seq and known and not isinstance(result.body, WorkerLost):
            return Append(
                LateResultRecorded(
                    role=result.role,
                    iteration=result.iteration,
                    attempt=result.attempt,
                    grant_seq=result.grant_seq,
                    usage=result.usage,
                )
            )
    return Ignore("the result answers a grant that is not open")


def _expect(loop: Loop, result: Result, role: Role) -> None:
    if result.role != role or loop.step != role:
        raise StepError("internal", f"a {result.role} answered the {loop.step}'s grant")


def _planned(loop: Loop, result: Result, plan: Plan, now: datetime, nonce: str) -> Append:
    _refuse_plan(loop, plan)
    settles = settle_result(loop, result, None)
    after = settle(loop, settles)
    over = overdue(after) if now >= loop.deadline else too_many_actions(after, plan)
    if over is not None:
        return Append(end(after, now, over, settles=settles))
    if not plan.actions:
        return verification_step(after, settles, plan, None, now, nonce, attempt=1)
    return execution_step(after, settles, plan, now, nonce, attempt=1)


def _refuse_plan(loop: Loop, plan: Plan) -> None:
    """What the planner should have refused already is refused here again."""
    for index, action in enumerate(plan.actions):
        for fault in action_faults(action, loop.goal.tools, f"actions[{index}]"):
            raise StepError("permission_denied", f"the plan is refused: {fault}")
    if isinstance(loop.goal.planner, Playbook):
        times = {rule.name: rule.times for rule in loop.goal.planner.rules}
        if loop.rule_uses.get(plan.rule or "", 0) >= times.get(plan.rule or "", 0):
            raise StepError("invalid_output", f"the rule '{plan.rule}' has no uses left")


def _executed(loop: Loop, result: Result, outcome: Outcome, now: datetime, nonce: str) -> Append:
    settles = settle_result(loop, result, None)
    after = settle(loop, settles)
    if not outcome.succeeded:
        return _next_iteration(after, settles, now, nonce, outcome=outcome)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    assert loop.plan is not None
    return verification_step(after, settles, loop.plan, outcome, now, nonce, attempt=1)


def _verified(loop: Loop, result: Result, verdict: Verdict, now: datetime, nonce: str) -> Append:
    verdict = _bound(loop, verdict)
    settles = settle_result(loop, result, None)
    after = settle(loop, settles)
    return _next_iteration(after, settles, now, nonce, outcome=loop.outcome, verdict=verdict)


def _bound(loop: Loop, verdict: Verdict) -> Verdict:
    """The verdict, if it is about the granted revision and every check; its score recomputed."""
    if loop.revision is not None and verdict.revision != loop.revision:
        message = f"the verdict is about {verdict.revision}, {loop.revision} was to be judged"
        raise StepError("invalid_output", message)
    if tuple(check.name for check in verdict.checks) != loop.goal.check_names:
        raise StepError("invalid_output", "the verdict does not hold every check once, in order")
    passed = verdict.passed
    checks = loop.goal.verify.checks
    won = sum(check.weight for check in checks if check.name in passed)
    return verdict.model_copy(update={"score": won / sum(check.weight for check in checks)})


def _failed(loop: Loop, result: Result, error: ErrorInfo, now: datetime, nonce: str) -> Append:
    return _retry(loop, settle_result(loop, result, error), error, now, nonce)


def _retry(
    loop: Loop, settles: Settlement | None, error: ErrorInfo, now: datetime, nonce: str
) -> Append:
    """A step failed: end the loop, wait, or grant the step again, as the policy says."""
    after = settle(loop, settles)
    policy = POLICY[error.kind]
    if isinstance(policy, End):
        cause = Exit(policy.outcome, policy.reason, error.message)
        return Append(end(after, now, cause, settles=settles))
    most = loop.goal.limits.attempts
    if after.failures >= most:
        detail = f"{after.failures} failures in a row, limits.attempts is {most}; {error.message}"
        return Append(end(after, now, Exit("failed", "errors", detail), settles=settles))
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    wait = backoff_s(policy, error, after.failures, f"{loop.id}/{loop.n}")
    if wait <= 0:
        return same_step(after, settles, now, nonce)
    held = LoopHeld(settles=settles, hold="backing_off", until=now + timedelta(seconds=wait))
    return append(after, held, now)


def _next_iteration(
    after: Loop,
    settles: Settlement,
    now: datetime,
    nonce: str,
    *,
    outcome: Outcome | None = None,
    verdict: Verdict | None = None,
) -> Append:
    """Accept the iteration's verdict or failed outcome: achieved, exhausted, or round again."""
    folded = finish_iteration(after, after.plan, verdict, outcome, now)
    over = _achieved(after, verdict) or exhausted(folded, now)
    if over is not None:
        execution = outcome if verdict is None else None
        ended = end(folded, now, over, settles=settles, verdict=verdict, execution=execution)
        return Append(ended)
    return plan_step(folded, settles, now, nonce, attempt=1)


def _achieved(loop: Loop, verdict: Verdict | None) -> Exit | None:
    """The one way to `achieved`: the verifier's evidence that every required check passes."""
    if verdict is None or not loop.goal.required_checks <= verdict.passed:
        return None
    detail = f"every required check passes on revision {verdict.revision[:12]}"
    return Exit("achieved", "verified", detail)
