"""A loop as people and queries see it: a pure view of the fold."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from loopwright.approach import Approach
from loopwright.budget import Amount
from loopwright.events import Best, IterationSummary, LoopOutcome, Notice, Reason
from loopwright.family import ChildState
from loopwright.forecast import Forecast
from loopwright.loop import Held, Loop
from loopwright.plan import CheckResult
from loopwright.states import LoopState
from loopwright.wire import Wire


class Caps(Wire):
    """What the loop may spend; None is without limit."""

    iterations: int
    tokens: int | None = None
    cost_microusd: int | None = None
    actions: int | None = None
    time_s: float


class ChildView(Wire):
    """A loop that a loop has started, as that one knows it."""

    loop: str
    name: str
    outcome: str | None = None
    """None while it is open; its own view says more."""
    iterations: int
    """Used, or the most that it may use."""
    score: float | None = None


class LoopView(Wire):
    """One loop, for lists, details and the last line of a run."""

    loop: str
    tenant: str
    name: str
    objective: str
    state: LoopState
    outcome: LoopOutcome | None = None
    reason: Reason | None = None
    detail: str = ""
    """Why it ended or waits, and the way out."""
    iteration: int
    attempt: int
    held: Held | None = None
    """Why it waits, until when, and what a person is asked."""
    warned: dict[str, int] = Field(default_factory=dict)
    """Budget → the highest share that was warned of, in per cent."""
    notice: Notice | None = None
    """It is stuck: what repeats."""
    approach: Approach | None = None
    """How it is planned, where that is not as the goal says."""
    forecast: Forecast | None = None
    """What it will have used when it ends."""
    score: float | None = None
    """Of the newest verdict."""
    best: Best | None = None
    spent: Amount
    reserved: Amount
    caps: Caps
    revision: str | None = None
    """What is delivered: the best revision, else the newest."""
    checks: tuple[CheckResult, ...] = ()
    """Of the newest verdict."""
    history: tuple[IterationSummary, ...] = ()
    overruns: int = 0
    estimated: int = 0
    admitted_at: datetime
    updated_at: datetime
    deadline: datetime
    ended_at: datetime | None = None
    duration_s: float
    n: int
    seq: int
    """Stream sequence of the newest event that is seen here."""
    parent: str | None = None
    """The loop that started it, if another did."""
    children: tuple[ChildView, ...] = ()
    head: str = ""
    """SHA-256 of the newest event's body, so that a log that is cut or rewritten shows."""


def view(loop: Loop) -> LoopView:
    """The view of a folded loop."""
    verdict, budget = loop.verdict, loop.budget
    return LoopView(
        loop=loop.id,
        tenant=loop.tenant,
        name=loop.goal.name,
        objective=loop.goal.objective,
        state=loop.state,
        outcome=loop.ended,
        reason=loop.reason,
        detail=loop.detail or (loop.held.detail if loop.held else ""),
        iteration=loop.iteration,
        attempt=loop.attempt,
        held=loop.held,
        warned=loop.warned,
        notice=loop.notice,
        approach=loop.approach,
        forecast=loop.forecasts[-1] if loop.forecasts else None,
        score=verdict.score if verdict else None,
        best=loop.best,
        spent=loop.spent,
        reserved=loop.reserved,
        caps=Caps(
            iterations=budget.iterations,
            tokens=budget.tokens,
            cost_microusd=budget.cost_microusd,
            actions=budget.actions,
            time_s=budget.time,
        ),
        revision=loop.best.revision if loop.best else loop.revision,
        checks=verdict.checks if verdict else (),
        history=loop.history,
        overruns=loop.overruns,
        estimated=loop.estimated,
        admitted_at=loop.admitted_at,
        updated_at=loop.updated_at,
        deadline=loop.deadline,
        ended_at=loop.ended_at,
        duration_s=((loop.ended_at or loop.updated_at) - loop.admitted_at).total_seconds(),
        n=loop.n,
        seq=loop.tip,
        parent=loop.parent.loop if loop.parent else None,
        children=tuple(map(_child, loop.children)),
        head=loop.head,
    )


def _child(child: ChildState) -> ChildView:
    end = child.end
    return ChildView(
        loop=child.id,
        name=child.name,
        outcome=end.outcome if end else None,
        iterations=end.iterations if end else child.slice.iterations,
        score=end.score if end else None,
    )
