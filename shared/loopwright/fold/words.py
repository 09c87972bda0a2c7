"""What a person's word changes by itself: hints, budgets, limits, the deadline. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from loopwright.control import Amend, Approve, Control, Nudge, Reject, Retry
from loopwright.fold.state import Loop
from loopwright.iteration import finish_iteration

#: How many control messages the fold remembers, to tell a repeat.
CONTROLS = 64
#: How many hints wait for the next plan; the oldest give way.
HINTS = 10


def controlled(loop: Loop, control: Control | None, at: datetime) -> Loop:
    """The loop after what a person's word changes by itself."""
    if control is None:
        return loop
    update: dict[str, object] = {"controls": (*loop.controls, control.id)[-CONTROLS:]}
    match control:
        case Approve() if loop.held and loop.held.wanted and loop.held.wanted.kind == "question":
            said = control.reason or "yes"
            update["hints"] = (*loop.hints, f"A person answered: {said}")[-HINTS:]
        case Nudge():
            update["hints"] = (*loop.hints, control.hint)[-HINTS:]
        case Reject():
            said = control.reason or "no reason was given"
            update["hints"] = (*loop.hints, f"A person rejected this: {said}")[-HINTS:]
            if loop.held and loop.held.wanted and loop.held.wanted.kind == "plan":
                loop = finish_iteration(loop, None, None, at, note=f"the plan was rejected: {said}")
        case Retry():
            update |= {"failures": 0, "strikes": 0, "failing_since": None, "approach": None}
        case Amend():
            update |= _amended(loop, control)
        case _:
            pass
    return loop.model_copy(update=update)


def _amended(loop: Loop, amend: Amend) -> dict[str, object]:
    """The new budget, limits and deadline; Budget and Limits have the fields of their changes."""
    budget = loop.budget.model_copy(update=amend.budget.model_dump(exclude_none=True))
    limits = loop.limits.model_copy(update=amend.limits.model_dump(exclude_none=True))
    changes: dict[str, object] = {"budget": budget, "limits": limits}
    if amend.budget.time is not None:
        changes["deadline"] = loop.admitted_at + timedelta(seconds=amend.budget.time)
    return changes
