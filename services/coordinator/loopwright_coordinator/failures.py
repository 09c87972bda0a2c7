"""A step failed: end the loop, hold it, wait, or grant the step again, as the policy says. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from loopwright.errors import PATIENT, ErrorInfo
from loopwright.events import LoopHeld, Settlement
from loopwright.fold.settlements import settle
from loopwright.loop import Loop
from loopwright.results import Result
from loopwright_coordinator.exits import Exit, end, expiry, out_of_budget, overdue
from loopwright_coordinator.grants import settle_result
from loopwright_coordinator.inputs import Append
from loopwright_coordinator.ladder import lower
from loopwright_coordinator.policy import POLICY, Block, End, Exhaust, Retry, backoff_s
from loopwright_coordinator.steps import plan_step, same_step


def failed(loop: Loop, result: Result, error: ErrorInfo, now: datetime, nonce: str) -> Append:
    return after_failure(loop, settle_result(loop, result, error), error, now, nonce)


def after_failure(
    loop: Loop, settles: Settlement | None, error: ErrorInfo, now: datetime, nonce: str
) -> Append:
    """A step failed: end the loop, hold it, wait, or grant the step again, as the policy says."""
    after = settle(loop, settles, now)
    if now >= loop.deadline:
        return Append(end(after, now, overdue(after), settles=settles))
    fall = lower(after, error)
    if fall is not None:
        attempt = after.attempt + 1
        return plan_step(after, settles, now, nonce, attempt=attempt, fall=fall)
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
    held = LoopHeld(
        settles=settles,
        hold="backing_off",
        until=until,
        detail=detail,
        dependency=error.dependency,
    )
    return Append(held)


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
