"""Whether a loop is stuck, and the answer: tell, then change, then end. Pure.

Only iterations since the score last improved are looked at, and those that the goal declares as
polls are left out; so whoever makes progress, however slowly, is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loopwright.events import Notice
from loopwright.goal import OpenAI
from loopwright.loop import Loop
from loopwright.marks import Mark
from loopwright_coordinator.exits import Exit, unmet

#: The longest cycle that is looked for, in iterations.
LONGEST_CYCLE = 4
#: So often a workspace must have come back to what it was before.
RETURNS = 2
#: What a model is asked with when telling it did not help: this much hotter, at most that.
HOTTER, HOTTEST = 0.4, 1.3


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern, and how many iterations it needs to show once more."""

    pattern: Literal["repeat", "cycle", "return", "error", "plateau"]
    period: int
    detail: str


def answer(loop: Loop) -> Notice | Exit | None:
    """What to do about a loop that stands between two iterations; None if it is not stuck."""
    found = find(loop)
    if found is None:
        return None
    if loop.notice is None:
        return Notice(level=1, pattern=found.pattern, detail=found.detail)
    if loop.iteration - loop.noticed_at < found.period:
        return None
    if loop.notice.level == 1:
        return Notice(
            level=2,
            pattern=found.pattern,
            detail=f"{found.detail}; being told so did not help: do something of another kind",
            temperature=_hotter(loop),
        )
    detail = f"{found.detail}; neither a notice nor a change of strategy helped; {unmet(loop)}"
    return Exit("stalled", "repeating", detail)


def _hotter(loop: Loop) -> float | None:
    spec = loop.goal.planner
    if not isinstance(spec, OpenAI) or not spec.adaptive:
        return None
    return min((0.7 if spec.temperature is None else spec.temperature) + HOTTER, HOTTEST)


def find(loop: Loop) -> Found | None:
    """The pattern that the newest iterations make, the plainest first."""
    marks, stuck = loop.marks, loop.goal.stuck
    return (
        _cycle(marks, stuck.repeats)
        or _same_error(marks, stuck.repeats)
        or _return(marks)
        or _plateau(loop, stuck.patience)
    )


def _cycle(marks: Sequence[Mark], repeats: int) -> Found | None:
    """The same actions with the same observations, in a row or in a round of up to four."""
    steps = [(mark.actions, mark.seen) for mark in marks]
    for period in range(1, LONGEST_CYCLE + 1):
        # A round of several counts when it came twice: that is as many iterations, or more.
        times = repeats if period == 1 else 2
        length = period * times
        if len(steps) < length or len(set(steps[-period:])) == 1 < period:
            continue
        newest = steps[-length:]
        if all(newest[i] == newest[i + period] for i in range(length - period)):
            if period == 1:
                detail = f"the last {times} iterations did the same and saw the same"
                return Found("repeat", 1, detail)
            detail = f"the last {length} iterations went round the same {period} steps"
            return Found("cycle", period, detail)
    return None


def _same_error(marks: Sequence[Mark], repeats: int) -> Found | None:
    newest = [mark.error for mark in marks[-repeats:]]
    if len(newest) < repeats or newest[0] is None or len(set(newest)) > 1:
        return None
    return Found("error", 1, f"the last {repeats} iterations failed with the same error")


def _return(marks: Sequence[Mark]) -> Found | None:
    """The workspace came back to what it was, after being something else, more than once."""
    trees = [mark.tree for mark in marks if mark.tree is not None]
    newest = len(trees) - 1
    before = _came_back(trees, newest)
    returns = [at for at in range(len(trees)) if _came_back(trees, at) is not None]
    if before is None or len(returns) < RETURNS:
        return None
    detail = f"the workspace has come back to an earlier state {len(returns)} times"
    return Found("return", newest - before, detail)


def _came_back(trees: Sequence[str], at: int) -> int | None:
    """Where the tree at a place was before, if something else was in between."""
    before = [i for i in range(at) if trees[i] == trees[at]]
    return before[-1] if before and before[-1] < at - 1 else None


def _plateau(loop: Loop, patience: int) -> Found | None:
    if loop.since_best < patience:
        return None
    best = f"{loop.best.score:.2f}" if loop.best else "none yet"
    detail = f"{loop.since_best} iterations brought no better score than {best}"
    return Found("plateau", max(2, patience // 2), detail)
