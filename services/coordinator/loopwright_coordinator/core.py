"""The coordinator's decisions as a pure function: no I/O, no clock, no randomness.

`decide(loop, input, now, nonce)` says what one input means to one loop: the one event to append,
or why nothing is. What it may not make itself, the time and the nonce of an attempt's token, is
part of its input, so the same arguments always give the same decision. What came is accepted in
`accepting` (or is a failure: `failures`), what is next is granted in `steps` and `iterations`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from loopwright.breaker import Refuse
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import LateResultRecorded
from loopwright.fold.settlements import settle
from loopwright.loop import Loop
from loopwright.results import WorkerLost
from loopwright_coordinator.accepting import accept
from loopwright_coordinator.breakers import UP
from loopwright_coordinator.budgets import unpriced
from loopwright_coordinator.exits import Exit, end, exhausted, expired, out_of_budget, overdue
from loopwright_coordinator.failures import after_failure, failed
from loopwright_coordinator.families import child_ended
from loopwright_coordinator.grants import settle_unheard
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ChildEnded,
    ControlArrived,
    Decision,
    Ignore,
    Input,
    Recovered,
    ResultArrived,
    TakeClaim,
    Woken,
)
from loopwright_coordinator.people import heed
from loopwright_coordinator.seal import UNTIMED, next_look, sealed
from loopwright_coordinator.steps import same_step


def decide(
    loop: Loop, received: Input, now: datetime, nonce: str, down: Mapping[str, Refuse] = UP
) -> Decision:
    """What one input means to one loop; `down` are the dependencies whose breakers are open."""
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
        case ChildEnded():
            decision, control = child_ended(loop, received, now, nonce), None
        case Woken():
            decision, control = _woken(loop, received, now, nonce), None
        case Recovered():
            decision, control = _recovered(loop, received, now, nonce), None
    return sealed(loop, decision, now, control, down)


def quarantined(loop: Loop, now: datetime, why: str) -> Append:
    """The end of a loop on which `decide` itself fails, so that it ends all the same."""
    settles = settle_unheard(loop, "ended")
    cause = Exit("failed", "quarantined", f"nothing can be decided on this loop any more: {why}")
    return Append(end(settle(loop, settles, now), now, cause, settles=settles), stop=True)


def _begin(loop: Loop, received: Begin, now: datetime, nonce: str) -> Decision:
    if loop.state != "admitted":
        return Ignore("the loop has begun already")
    refused = _refused(loop, received)
    if refused is not None:
        return Append(end(loop, now, refused))
    over = exhausted(loop, now)
    if over is not None:
        return Append(out_of_budget(loop, now, over))
    return same_step(loop, None, now, nonce)


def _refused(loop: Loop, received: Begin) -> Exit | None:
    """Why policy rejects a valid goal, if it does."""
    usd, unknown = loop.goal.budget.usd, unpriced(loop)
    if usd is not None and unknown:
        detail = (
            f"no price is known for the model '{unknown[0]}', so a dollar budget cannot hold; "
            "set the model's `price`, or budget.tokens without budget.usd"
        )
        return Exit("rejected", "unknown_price", detail)
    if received.max_usd is not None and usd is not None and usd > received.max_usd:
        detail = f"budget.usd is {usd}, this installation allows {received.max_usd} a goal"
        return Exit("rejected", "policy_cap", detail)
    return None


def _woken(loop: Loop, received: Woken, now: datetime, nonce: str) -> Decision:
    over = now >= loop.deadline
    missed = loop.open is not None and now >= loop.open.grant.deadline
    if loop.open is not None and received.asked not in (None, loop.open.grant.token_digest):
        received = Woken()  # another was faster: the answer is about a grant that is settled
    if loop.open is not None and (over or missed) and received.claim_won is None:
        return TakeClaim(loop.open.grant)
    if over:
        settles = settle_unheard(loop, "not_started" if received.claim_won else "ended")
        after = settle(loop, settles, now)
        return Append(end(after, now, overdue(loop), settles=settles), stop=True)
    if missed:
        return _missed(loop, claim_won=bool(received.claim_won), now=now, nonce=nonce)
    if loop.held is not None and loop.held.kind not in UNTIMED and now >= loop.held.until:
        if loop.held.kind == "backing_off":
            return same_step(loop, None, now, nonce)
        return Append(end(loop, now, expired(loop)))
    return Arm(next_look(loop))


def _recovered(loop: Loop, received: Recovered, now: datetime, nonce: str) -> Decision:
    if loop.held is None or loop.held.dependency != received.dependency:
        return Ignore(f"the loop does not wait for {received.dependency}")
    if now >= loop.deadline:
        return _woken(loop, Woken(), now, nonce)
    return same_step(loop, None, now, nonce)


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
    return replace(after_failure(loop, settles, error, now, nonce), stop=True)


def _result(loop: Loop, received: ResultArrived, now: datetime, nonce: str) -> Decision:
    result = received.result
    if loop.open is None or loop.open.seq != result.grant_seq:
        return _late(loop, received)
    if not hmac.compare_digest(loop.open.grant.token_digest, received.token_digest):
        return Ignore("the result carries another token than its grant")
    try:
        return accept(loop, result, now, nonce)
    except StepError as refused:
        return failed(loop, result, refused.info, now, nonce)


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
