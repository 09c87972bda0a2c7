"""Prices of models, from genai-prices' table that ships in its wheel: no network."""

from __future__ import annotations

from decimal import Decimal

from genai_prices import Usage, calc_price

from loopwright.budget import Price
from loopwright.goal import Goal, OpenAI

_MILLION = 1_000_000


def price_of(goal: Goal) -> Price | None:
    """The price of the goal's model: its own, else the table's, else None (unknown)."""
    if not isinstance(goal.planner, OpenAI):
        return None
    return goal.planner.price or _listed(goal.planner.model)


def judge_prices_of(goal: Goal) -> dict[str, Price]:
    """The prices of the models that judge, by name; one that nobody knows is left out."""
    found: dict[str, Price] = {}
    for check in goal.judges:
        model = goal.judge_model(check)
        price = check.price or _listed(model)
        if price is not None:
            found[model] = _dearer(price, found.get(model, price))
    return found


def _dearer(one: Price, other: Price) -> Price:
    """The price that no call of either exceeds."""
    return Price(
        input_usd_per_million=max(one.input_usd_per_million, other.input_usd_per_million),
        output_usd_per_million=max(one.output_usd_per_million, other.output_usd_per_million),
    )


def _listed(model: str) -> Price | None:
    try:
        # The dearest that a million of each can be: tiers are priced by the size of the call.
        into = calc_price(Usage(input_tokens=_MILLION), model_ref=model).total_price
        out = calc_price(Usage(output_tokens=_MILLION), model_ref=model).total_price
    except LookupError:
        return None
    return Price(input_usd_per_million=_rounded(into), output_usd_per_million=_rounded(out))


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.000001"))
