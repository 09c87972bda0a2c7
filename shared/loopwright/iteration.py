"""The end of an iteration, as the fold records it: its summary, the best so far, its mark. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.budget import Amount
from loopwright.events import Best, IterationSummary
from loopwright.fold.state import Loop
from loopwright.marks import is_poll, mark_of
from loopwright.plan import Outcome, Verdict

#: How many iterations the fold remembers, so that a loop's cost does not grow with its length.
HISTORY = 20


def finish_iteration(
    loop: Loop, verdict: Verdict | None, outcome: Outcome | None, at: datetime, *, note: str = ""
) -> Loop:
    """Record what an iteration came to, whether it is the best so far, and what it repeats."""
    summary = summarise(loop, verdict, outcome, at, note)
    improved = verdict is not None and (loop.best is None or verdict.score > loop.best.score)
    update: dict[str, object] = {
        "step": "planner",
        "join": None,
        "attempt": 0,
        "history": (*loop.history, summary)[-HISTORY:],
        "outcome": outcome,
    }
    if verdict is not None:
        update |= {"verdict": verdict, "revision": verdict.revision}
    if verdict is not None and improved:
        update |= {"best": as_best(loop, verdict), "notice": None, "marks": (), "since_best": 0}
    elif not is_poll(loop.plan, loop.goal.stuck.polls):
        mark = mark_of(loop.iteration, loop.plan, outcome, verdict)
        update |= {"marks": (*loop.marks, mark)[-HISTORY:], "since_best": loop.since_best + 1}
    return loop.model_copy(update=update)


def summarise(
    loop: Loop, verdict: Verdict | None, outcome: Outcome | None, at: datetime, note: str = ""
) -> IterationSummary:
    """One line about the iteration that just came to its end."""
    before = loop.verdict.passed if loop.verdict else frozenset()
    plan, started = loop.plan, loop.iteration_started_at or at
    spent = Amount(
        tokens=loop.spent.tokens - loop.iteration_spent.tokens,
        cost_microusd=loop.spent.cost_microusd - loop.iteration_spent.cost_microusd,
        actions=loop.spent.actions - loop.iteration_spent.actions,
    )
    names = [check.name for check in verdict.checks] if verdict else []
    passed = verdict.passed if verdict else frozenset()
    return IterationSummary(
        iteration=loop.iteration,
        summary=plan.summary if plan else "",
        rule=plan.rule if plan else None,
        executed=verdict is not None,
        score=verdict.score if verdict else None,
        passed=len(passed),
        checks=len(names),
        turned_green=tuple(n for n in names if n in passed and n not in before),
        turned_red=tuple(n for n in names if n in before and n not in passed),
        revision=verdict.revision if verdict else None,
        spent=spent,
        duration_s=max(0.0, (at - started).total_seconds()),
        note=note or (_failed_action(outcome) if outcome and not outcome.succeeded else ""),
    )


def _failed_action(outcome: Outcome) -> str:
    for action in outcome.actions:
        if action.status == "failed":
            code = "" if action.exit_code is None else f" with exit code {action.exit_code}"
            why = f" ({action.failure})" if action.failure else ""
            return f"{action.tool} failed{code}{why}"
    return "the step failed"


def as_best(loop: Loop, verdict: Verdict) -> Best:
    """The current iteration as the best of its loop."""
    return Best(
        iteration=loop.iteration,
        revision=verdict.revision,
        score=verdict.score,
        passed=len(verdict.passed),
        checks=len(verdict.checks),
    )
