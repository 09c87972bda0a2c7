"""What people may ask of a loop, by its state: done, or refused with the reason. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from loopwright.control import (
    Amend,
    Approve,
    Cancel,
    Control,
    Nudge,
    Pause,
    Reject,
    Resume,
    Retry,
)
from loopwright.events import LoopControlled, LoopHeld
from loopwright.fold.settlements import settle
from loopwright.fold.words import controlled
from loopwright.goal import OpenAI
from loopwright.loop import Loop
from loopwright.states import WORKING
from loopwright_coordinator.budgets import unpriced
from loopwright_coordinator.exits import Exit, end
from loopwright_coordinator.grants import settle_unheard
from loopwright_coordinator.inputs import Append, Decision, Ignore
from loopwright_coordinator.steps import execution_step, same_step


def heed(loop: Loop, control: Control, now: datetime, nonce: str) -> Decision:
    """What a person's word means to a loop that has not ended."""
    if control.id in loop.controls:
        return Ignore("this was done already", done=True)
    match control:
        case Cancel():
            return _cancel(loop, control, now)
        case Pause():
            return _pause(loop, control, now)
        case Resume():
            return _resume(loop, now, nonce)
        case Amend():
            return _amend(loop, control, now, nonce)
        case Approve() | Reject():
            return _answered(loop, control, now, nonce)
        case Nudge():
            return Append(LoopControlled())
        case Retry():
            return _retry(loop, control, now, nonce)


def _cancel(loop: Loop, control: Cancel, now: datetime) -> Append:
    detail = f"cancelled: {control.reason}" if control.reason else "cancelled on request"
    settles = settle_unheard(loop, "ended")
    cause = Exit("cancelled", "requested", detail)
    return Append(end(settle(loop, settles, now), now, cause, settles=settles), stop=True)


def _pause(loop: Loop, control: Pause, now: datetime) -> Decision:
    if loop.state not in (*WORKING, "admitted", "backing_off", "awaiting_children"):
        return Ignore(f"the loop is not working: it is {_now(loop)}")
    settles = settle_unheard(loop, "stopped") if control.now else None
    held = LoopHeld(
        settles=settles,
        hold="paused",
        until=loop.deadline,
        detail=control.reason or f"paused; go on with: loopwright resume {loop.id}",
    )
    return Append(held, stop=control.now)


def _resume(loop: Loop, now: datetime, nonce: str) -> Decision:
    if loop.state != "paused":
        return Ignore(f"the loop is not paused: it is {_now(loop)}")
    if loop.open is not None:
        return Append(LoopControlled())
    return same_step(loop, None, now, nonce)


def _retry(loop: Loop, control: Retry, now: datetime, nonce: str) -> Decision:
    if loop.state not in ("blocked", "backing_off"):
        return Ignore(f"no step waits to be tried again: the loop is {_now(loop)}")
    return same_step(controlled(loop, control, now), None, now, nonce)


def _amend(loop: Loop, amend: Amend, now: datetime, nonce: str) -> Decision:
    refused = _beyond_the_slice(loop, amend) or _too_low(loop, amend, now)
    if refused is not None:
        return Ignore(refused)
    if loop.state != "budget_exhausted":
        return Append(LoopControlled())
    return same_step(controlled(loop, amend, now), None, now, nonce)


def _beyond_the_slice(loop: Loop, amend: Amend) -> str | None:
    """A child's budget is a slice of its parent's: it can be made smaller, never larger."""
    if loop.parent is None:
        return None
    for name, new in amend.budget.model_dump(exclude_none=True).items():
        cap = getattr(loop.goal.budget, name)
        if cap is not None and new > cap:
            return (
                f"this loop was started by {loop.parent.loop}, its {name} are a slice of that "
                f"loop's: at most {cap:g}; amend {loop.parent.loop} for the loops to come"
            )
    return None


def _too_low(loop: Loop, amend: Amend, now: datetime) -> str | None:
    """Why the new caps cannot hold: no cap may be below what is spent or reserved."""
    if amend.budget.model_dump(exclude_none=True) == amend.limits.model_dump(exclude_none=True):
        return "nothing is to be amended; name a budget or a limit"
    used, new = loop.spent + loop.reserved, amend.budget
    cost = None if new.usd is None else loop.budget.model_copy(update={"usd": new.usd})
    caps: tuple[tuple[str, float, float | None], ...] = (
        ("iterations", loop.iterations, new.iterations),
        ("tokens", used.tokens, new.tokens),
        ("micro-dollars", used.cost_microusd, cost.cost_microusd if cost else None),
        ("actions", used.actions, new.actions),
        ("events", loop.n + 2, amend.limits.events),
    )
    for name, value, cap in caps:
        if cap is not None and cap < value:
            return f"{cap} {name} are less than the {value} that are spent or reserved"
    if new.usd is not None and loop.budget.usd is None and not _priced(loop):
        return "the price of this loop's model is not known, so a dollar budget cannot hold"
    if new.time is not None and loop.admitted_at + timedelta(seconds=new.time) <= now:
        age = (now - loop.admitted_at).total_seconds()
        return f"the loop is {age:.0f} s old, so {new.time:g} s are over; cancel it instead"
    return None


def _priced(loop: Loop) -> bool:
    """Whether a dollar budget can hold: the price of every model that may plan is known."""
    asks = isinstance(loop.goal.planner, OpenAI) or bool(loop.goal.judges)
    return asks and not unpriced(loop)


def _answered(loop: Loop, said: Approve | Reject, now: datetime, nonce: str) -> Decision:
    wanted = loop.held.wanted if loop.held else None
    if loop.state != "awaiting_approval" or wanted is None:
        return Ignore(f"nothing is to be approved: the loop is {_now(loop)}")
    if said.of != wanted.of:
        return Ignore(f"'{said.of}' is not what waits for approval: that is {wanted.of}")
    if isinstance(said, Reject) or wanted.kind == "question":
        return same_step(controlled(loop, said, now), None, now, nonce)
    if wanted.kind == "plan":
        assert loop.plan is not None
        return execution_step(loop, None, loop.plan, now, nonce, attempt=1)
    why = f": {said.reason}" if said.reason else ""
    detail = f"every required check passes on revision {wanted.of[:12]}, and it was approved{why}"
    return Append(end(loop, now, Exit("achieved", "approved", detail)))


def _now(loop: Loop) -> str:
    return loop.state.replace("_", " ")
