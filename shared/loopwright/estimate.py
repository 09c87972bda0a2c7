"""What a goal will take, before it runs: from loops like it, else from the goal's own shape. Pure.

Nothing here is above the goal's budget: a loop cannot take more, whatever was estimated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Literal

from loopwright.budget import Price
from loopwright.forecast import Range
from loopwright.goal import Goal, OpenAI, Playbook
from loopwright.views import LoopView
from loopwright.wire import Wire

#: Fewer like loops than this tell less than the goal's shape does.
MIN_LIKE = 3
#: Share of the words of two objectives that must be the same for their goals to be alike.
ALIKE = 0.5
#: Where fewer loops are known than a ninth decile needs: so much above the most that was seen.
BEYOND = 1.25
#: Of a prompt besides the goal's own text: rules, tools, history, files, in tokens.
PROMPT_TOKENS = 3_000
#: Of a usual plan, in tokens.
PLAN_TOKENS = 800
#: Of a usual iteration with a model, and without one, in seconds.
MODEL_S, RULES_S = 25.0, 2.0
_BYTES_PER_TOKEN = 4
_WORD = re.compile(r"\w+")


class Estimate(Wire):
    """Totals at a loop's end, estimated before it begins."""

    source: Literal["history", "shape"]
    like: int
    """Ended loops like it that were looked at."""
    iterations: Range
    tokens: Range
    cost_microusd: Range | None = None
    """None where the model's price is not known."""
    time_s: Range


@dataclass(frozen=True, slots=True)
class Past:
    """What an ended loop took."""

    iterations: int
    tokens: int
    cost_microusd: int
    seconds: float


def estimate(goal: Goal, price: Price | None = None, past: Sequence[Past] = ()) -> Estimate:
    """The estimate from like loops where there are enough of them, else from the goal's shape."""
    found = from_history(past) if len(past) >= MIN_LIKE else from_shape(goal, price)
    return _within(goal, found.model_copy(update={"like": len(past)}))


def from_history(past: Sequence[Past]) -> Estimate:
    """Half of the like loops took no more than p50, nine of ten no more than p90."""
    return Estimate(
        source="history",
        like=len(past),
        iterations=_deciles([item.iterations for item in past]),
        tokens=_deciles([item.tokens for item in past]),
        cost_microusd=_deciles([item.cost_microusd for item in past]),
        time_s=_deciles([item.seconds for item in past]),
    )


def _deciles(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    index = ceil(0.9 * (len(ordered) + 1))
    p90 = ordered[index - 1] if index <= len(ordered) else ordered[-1] * BEYOND
    return Range(p50=round(median(ordered), 3), p90=round(p90, 3))


def from_shape(goal: Goal, price: Price | None = None) -> Estimate:
    """What the goal's planner, checks and limits let expect, where nothing like it has run."""
    usual, most = _iterations(goal)
    spec = goal.planner
    tokens = cost = Range(p50=0, p90=0)
    seconds = RULES_S
    if isinstance(spec, OpenAI):
        seconds = MODEL_S
        text = goal.objective + "".join(goal.constraints)
        into = min(spec.max_input_tokens, PROMPT_TOKENS + len(text.encode()) // _BYTES_PER_TOKEN)
        out = min(spec.max_output_tokens, PLAN_TOKENS)
        known = spec.price or price
        tokens = Range(
            p50=usual * (into + out), p90=most * (spec.max_input_tokens + spec.max_output_tokens)
        )
        if known is not None:
            worst = known.cost_microusd(spec.max_input_tokens, spec.max_output_tokens)
            cost = Range(p50=usual * known.cost_microusd(into, out), p90=most * worst)
    unpriced = isinstance(spec, OpenAI) and (spec.price or price) is None
    return Estimate(
        source="shape",
        like=0,
        iterations=Range(p50=usual, p90=most),
        tokens=tokens,
        cost_microusd=None if unpriced else cost,
        time_s=Range(p50=usual * seconds, p90=most * seconds * 4),
    )


def _iterations(goal: Goal) -> tuple[int, int]:
    """The usual number and the most: rules are used up, a model may need all that it has."""
    most = goal.budget.iterations
    if isinstance(goal.planner, Playbook):
        uses = sum(rule.times for rule in goal.planner.rules)
        return min(most, len(goal.planner.rules), uses), min(most, uses)
    return min(most, 1 + len(goal.verify.checks) // 2), most


def _within(goal: Goal, found: Estimate) -> Estimate:
    budget = goal.budget
    cost = found.cost_microusd
    return found.model_copy(
        update={
            "iterations": _capped(found.iterations, budget.iterations),
            "tokens": _capped(found.tokens, budget.tokens),
            "cost_microusd": _capped(cost, budget.cost_microusd) if cost else None,
            "time_s": _capped(found.time_s, budget.time),
        }
    )


def _capped(item: Range, cap: float | None) -> Range:
    return item if cap is None else Range(p50=min(item.p50, cap), p90=min(item.p90, cap))


def like(goal: Goal, views: Sequence[LoopView]) -> list[Past]:
    """The loops that came to an end by themselves and whose goals are like this one.

    Alike are goals of the same name, or whose objectives share half of their words.
    """
    model = isinstance(goal.planner, OpenAI)
    return [
        Past(view.iteration, view.spent.tokens, view.spent.cost_microusd, view.duration_s)
        for view in views
        if view.outcome not in (None, "cancelled", "rejected")
        and bool(view.spent.tokens) == model
        and (view.name == goal.name or shared_words(view.objective, goal.objective) >= ALIKE)
    ]


def shared_words(one: str, other: str) -> float:
    """Words in both texts by words in either."""
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) / max(1, len(first | second))
