"""The coordinator's decisions as a pure function: no I/O, no clock, no randomness.

`decide(loop, input, now, nonce)` says what one input means to one loop: the one event to append,
or why nothing is. What it may not make itself, the time and the nonce of an attempt's token, is
part of its input, so the same arguments always give the same decision.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta

from loopwright.errors import PATIENT, ErrorInfo, StepError
from loopwright.events import LateResultRecorded, LoopHeld, Settlement, Wanted
from loopwright.goal import OpenAI, Playbook
from loopwright.iteration import finish_iteration
from loopwright.loop import Loop, settle
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
from loopwright.tools import action_faults
from loopwright_coordinator import stuck
from loopwright_coordinator.exits import (
    Exit,
    end,
    exhausted,
    expired,
    expiry,
    out_of_budget,
    overdue,
)
from loopwright_coordinator.grants import settle_result, settle_unheard
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
from loopwright_coordinator.people import heed
from loopwright_coordinator.policy import POLICY, Block, End, Exhaust, Retry, backoff_s
from loopwright_coordinator.seal import next_look, sealed
from loopwright_coordinator.steps import (
    execution_step,
    plan_step,
    same_step,
    verification_step,
)


def decide(loop: Loop, received: Input, now: datetime, nonce: str) -> Decision:
    """What one input means to one loop."""
    if loop.ended is not None:
        done = isinstance(received, ControlArrived) and received.control.id in loop.controls
        return Ignore(f"the loop has ended: {loop.ended}", done=done)
    match received:
        case Begin():
            decision, control = _begin(loop, received, now, nonce), None
        case ResultArrived():
            decision, control = _result(loop, received, now, nonce), None
        case ControlArrived(control=control):
            decision = heed(loop, control, now, nonce)
        case Woken():
            decision, control = _woken(loop, received, now, nonce), None
    return sealed(loop, decision, now, control)


def _begin(loop: Loop, received: Begin, now: datetime, nonce: str) -> Decision:
    if loop.state != "admitted":
        return Ignore("the loop has begun already")
    refused = _refused(loop, received)
    if refused is not None:
        return Append(end(loop, now, refused))
    over = exhausted(loop, now)
    if over is not None:
        return Append(out_of_budget(loop, now, over))
    return plan_step(loop, None, now, nonce, attempt=1)


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


def _woken(loop: Loop, received: Woken, now: datetime, nonce: str) -> Decision:
    over = now >= loop.deadline
    missed = loop.open is not None and now >= loop.open.grant.deadline
    if loop.open is not None and (over or missed) and received.claim_won is None:
        return TakeClaim(loop.open.grant)
    if over:
        settles = settle_unheard(loop, "not_started" if received.claim_won else "ended")
        after = settle(loop, settles, now)
        return Append(end(after, now, overdue(loop), settles=settles), stop=True)
    if missed:
        return _missed(loop, claim_won=bool(received.claim_won), now=now, nonce=nonce)
    if loop.held is not None and loop.held.kind != "paused" and now >= loop.held.until:
        if loop.held.kind == "backing_off":
            return same_step(loop, None, now, nonce)
        return Append(end(loop, now, expired(loop)))
    return Arm(next_look(loop))


def _missed(loop: Loop, *, claim_won: bool, now: datetime, nonce: str) -> Append:
    """A grant's deadline passed: released if nothing was started, else charged in full."""
    assert loop.open is not None
    if claim_won:
        settles = settle_unheard(loop, "not_started")
        return same_step(settle(loop, settles, now), settles, now, nonce)
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
    after = settle(loop, settles, now)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    if not plan.actions:
        return verification_step(after, settles, plan, None, now, nonce, attempt=1)
    if "plan" in loop.goal.approvals:
        return Append(_ask(after, settles, Wanted(kind="plan", of=plan_digest(plan)), now, plan))
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


def _ask(
    loop: Loop,
    settles: Settlement,
    wanted: Wanted,
    now: datetime,
    plan: Plan | None,
    verdict: Verdict | None = None,
) -> LoopHeld:
    """Wait for a person's word on a plan or a result."""
    what = f"the plan {wanted.of}" if wanted.kind == "plan" else f"the result {wanted.of[:12]}"
    detail = f"{what} waits for approval; answer with: loopwright approve {loop.id} (or reject)"
    return LoopHeld(
        settles=settles,
        hold="awaiting_approval",
        until=expiry(loop, now),
        reason="hold_expired",
        detail=detail,
        wanted=wanted,
        plan=plan,
        verdict=verdict,
    )


def _executed(loop: Loop, result: Result, outcome: Outcome, now: datetime, nonce: str) -> Append:
    settles = settle_result(loop, result, None)
    after = settle(loop, settles, now)
    if not outcome.succeeded:
        return _next_iteration(after, settles, now, nonce, outcome=outcome)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    assert loop.plan is not None
    return verification_step(after, settles, loop.plan, outcome, now, nonce, attempt=1)


def _verified(loop: Loop, result: Result, verdict: Verdict, now: datetime, nonce: str) -> Append:
    verdict = _bound(loop, verdict)
    settles = settle_result(loop, result, None)
    after = settle(loop, settles, now)
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
    """A step failed: end the loop, hold it, wait, or grant the step again, as the policy says."""
    after = settle(loop, settles, now)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    then = POLICY[error.kind].then
    match then:
        case End():
            cause = Exit(then.outcome, then.reason, error.message)
            return Append(end(after, now, cause, settles=settles))
        case Exhaust():
            cause = Exit("exhausted", then.reason, error.message)
            return Append(out_of_budget(after, now, cause, settles=settles))
        case Block():
            detail = f"{error.message}; mend it, then: loopwright retry {loop.id}"
            held = LoopHeld(
                settles=settles,
                hold="blocked",
                until=expiry(after, now),
                reason="dependency",
                detail=detail,
            )
            return Append(held)
        case Retry():
            return _again(after, settles, then, error, now, nonce)


def _again(
    after: Loop,
    settles: Settlement | None,
    retry: Retry,
    error: ErrorInfo,
    now: datetime,
    nonce: str,
) -> Append:
    over = _given_up(after, error, now)
    if over is not None:
        return Append(end(after, now, over, settles=settles))
    wait = backoff_s(retry, error, after.failures, f"{after.id}/{after.n}")
    if wait <= 0:
        return same_step(after, settles, now, nonce)
    until = now + timedelta(seconds=wait)
    detail = f"{error.message}; tried again in {wait:.1f} s"
    return Append(LoopHeld(settles=settles, hold="backing_off", until=until, detail=detail))


def _given_up(after: Loop, error: ErrorInfo, now: datetime) -> Exit | None:
    """Errors in a row, or a dependency that is down past its patience."""
    limits, since = after.limits, after.failing_since or now
    down = (now - since).total_seconds()
    if error.kind in PATIENT and down >= limits.patience:
        detail = f"{error.kind} for {down:.0f} s, limits.patience is {limits.patience:g} s"
        return Exit("failed", "dependency", f"{detail}; {error.message}")
    if after.strikes < limits.attempts:
        return None
    detail = f"{after.strikes} failures in a row, limits.attempts is {limits.attempts}"
    return Exit("failed", "errors", f"{detail}; {error.message}")


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
    folded = finish_iteration(after, verdict, outcome, now)
    execution = outcome if verdict is None else None
    met = _achieved(after, verdict)
    if met is not None and verdict is not None:
        if "result" in after.goal.approvals:
            wanted = Wanted(kind="result", of=verdict.revision)
            return Append(_ask(folded, settles, wanted, now, None, verdict))
        return Append(end(folded, now, met, settles=settles, verdict=verdict))
    over = exhausted(folded, now)
    if over is not None:
        return Append(
            out_of_budget(folded, now, over, settles=settles, verdict=verdict, execution=execution)
        )
    found = stuck.answer(folded)
    if isinstance(found, Exit):
        ended = end(folded, now, found, settles=settles, verdict=verdict, execution=execution)
        return Append(ended)
    return plan_step(folded, settles, now, nonce, attempt=1, notice=found)


def _achieved(loop: Loop, verdict: Verdict | None) -> Exit | None:
    """The one way to `achieved`: the verifier's evidence that every required check passes."""
    if verdict is None or not loop.goal.required_checks <= verdict.passed:
        return None
    detail = f"every required check passes on revision {verdict.revision[:12]}"
    return Exit("achieved", "verified", detail)
