"""What is left of a loop's budgets, and when to warn. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from loopwright.approach import settings_by
from loopwright.budget import NOTHING, Amount, Price
from loopwright.events import BudgetWarning
from loopwright.family import Left, iterations_of
from loopwright.forecast import Forecast, Spent, Totals, forecast
from loopwright.goal import OpenAI
from loopwright.loop import Loop

#: No model call fits in fewer tokens than this, so less is as good as nothing.
MIN_CALL_TOKENS = 512
#: Shares of a budget at which a warning is given, in per cent.
WARN_AT: tuple[Literal[50, 80, 95], ...] = (50, 80, 95)


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a loop may still reserve; None is without limit."""

    tokens: int | None
    cost_microusd: int | None
    actions: int | None


def remaining(loop: Loop) -> Remaining:
    """Cap less spent less reserved."""
    budget, used = loop.budget, loop.spent + loop.reserved
    cost = budget.cost_microusd
    return Remaining(
        tokens=None if budget.tokens is None else budget.tokens - used.tokens,
        cost_microusd=None if cost is None else cost - used.cost_microusd,
        actions=None if budget.actions is None else budget.actions - used.actions,
    )


def left_of(loop: Loop) -> Left:
    """What slices for children can be carved from."""
    left = remaining(loop)
    return Left(
        iterations=loop.budget.iterations - loop.iterations,
        tokens=left.tokens,
        cost_microusd=left.cost_microusd,
        actions=left.actions,
    )


def reserve_plan(loop: Loop) -> Amount | None:
    """What a planning attempt may spend; None where the budget no longer covers a call."""
    spec, approach = loop.goal.planner, loop.approach
    if not isinstance(spec, OpenAI) or (approach and approach.kind == "playbook"):
        return NOTHING
    spec = settings_by(spec, approach)
    left = remaining(loop)
    tokens = _within(spec.max_input_tokens + spec.max_output_tokens, left.tokens)
    price = price_for(loop)
    worst = price.cost_microusd(spec.max_input_tokens, spec.max_output_tokens) if price else 0
    cost = _within(worst, left.cost_microusd)
    if tokens < MIN_CALL_TOKENS or (worst > 0 and cost <= 0):
        return None
    return Amount(tokens=tokens, cost_microusd=cost)


def price_for(loop: Loop) -> Price | None:
    """Of the model that the loop plans with."""
    return loop.prices.get(loop.approach.model, loop.price) if loop.approach else loop.price


def judge_prices(loop: Loop) -> dict[str, Price]:
    """Of the models that judge, as far as they are known."""
    spec, known = loop.goal.planner, dict(loop.prices)
    if isinstance(spec, OpenAI) and loop.price is not None:
        known.setdefault(spec.model, loop.price)
    models = map(loop.goal.judge_model, loop.goal.judges)
    return {model: known[model] for model in models if model in known}


def reserve_verification(loop: Loop) -> Amount | None:
    """What the judges of a verification may spend; None where the budget does not cover a vote."""
    if not loop.goal.judges:
        return NOTHING
    left, worst, prices = remaining(loop), NOTHING, judge_prices(loop)
    for check in loop.goal.judges:
        worst += check.worst(prices.get(loop.goal.judge_model(check)))
    tokens = _within(worst.tokens, left.tokens)
    cost = _within(worst.cost_microusd, left.cost_microusd)
    if tokens < MIN_CALL_TOKENS or (worst.cost_microusd > 0 and cost <= 0):
        return None
    return Amount(tokens=tokens, cost_microusd=cost)


def unpriced(loop: Loop) -> tuple[str, ...]:
    """The models of a loop's goal whose price is not known."""
    spec, known = loop.goal.planner, {*loop.prices}
    named = [*map(loop.goal.judge_model, loop.goal.judges)]
    if isinstance(spec, OpenAI):
        known |= {spec.model} if loop.price else set()
        named = [spec.model, *(item.model for item in spec.other_models), *named]
    return tuple(model for model in named if model not in known)


def _within(wanted: int, left: int | None) -> int:
    return wanted if left is None else max(0, min(wanted, left))


def warnings_of(before: Loop, after: Loop, now: datetime) -> tuple[BudgetWarning, ...]:
    """The budgets that have passed a share which was not warned of before."""
    return tuple(
        BudgetWarning(budget=name, percent=percent, used=used, cap=cap)
        for name, used, cap in _used(after, now)
        if (percent := _passed(used, cap)) is not None and percent > before.warned.get(name, 0)
    )


def _passed(used: float, cap: float) -> Literal[50, 80, 95] | None:
    """The highest share that is reached."""
    return next((at for at in reversed(WARN_AT) if used * 100 >= cap * at), None)


Name = Literal["iterations", "tokens", "cost", "actions", "time"]


def _used(loop: Loop, now: datetime) -> Iterator[tuple[Name, float, float]]:
    budget, spent = loop.budget, loop.spent
    done = [child for child in loop.children if child.end is not None]
    yield "iterations", loop.iteration + iterations_of(done), budget.iterations
    if budget.tokens is not None:
        yield "tokens", spent.tokens, budget.tokens
    if budget.cost_microusd is not None:
        yield "cost", spent.cost_microusd, budget.cost_microusd
    if budget.actions is not None:
        yield "actions", spent.actions, budget.actions
    whole = (loop.deadline - loop.admitted_at).total_seconds()
    yield "time", round((now - loop.admitted_at).total_seconds(), 3), whole


def totals(loop: Loop, now: datetime) -> Totals:
    """What the loop has used so far."""
    seconds = max(0.0, (now - loop.admitted_at).total_seconds())
    return Totals(loop.iteration, loop.spent.tokens, loop.spent.cost_microusd, seconds)


def forecast_of(loop: Loop, now: datetime) -> Forecast | None:
    """Totals at the end of a loop that stands between two iterations."""
    best, known = 0.0, []
    for item in loop.history:
        best = max(best, item.score or 0.0)
        spent = item.spent
        known.append(Spent(spent.tokens, spent.cost_microusd, item.duration_s, best))
    return forecast(known, totals(loop, now), loop.budget.iterations - loop.iterations)
