"""Prices of models, from genai-prices' table that ships in its wheel: no network."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from loopwright.budget import Price
from loopwright.goal import Goal, OpenAI

_MILLION = 1_000_000
_NONE: Mapping[str, Price] = MappingProxyType({})


def price_of(goal: Goal, table: Mapping[str, Price] = _NONE) -> Price | None:
    """The price of the goal's model: the goal's own, else the operator's table's, else that of
    genai-prices, else None (unknown)."""
    spec = goal.planner
    if not isinstance(spec, OpenAI):
        return None
    return spec.price or _listed(spec.model, table)


def prices_of(goal: Goal, table: Mapping[str, Price] = _NONE) -> dict[str, Price]:
    """The known prices of the other models that the goal names."""
    spec = goal.planner if isinstance(goal.planner, OpenAI) else None
    named = [(item.model, item.price) for item in (spec.other_models if spec else ())]
    named += [(goal.judge_model(check), check.price) for check in goal.judges]
    found: dict[str, Price] = {}
    for model, own in named:
        price = own or _listed(model, table)
        if price is not None and (spec is None or model != spec.model):
            found[model] = _dearer(price, found.get(model, price))
    return found


def _dearer(one: Price, other: Price) -> Price:
    """The price that no call by either exceeds."""
    return Price(
        input_usd_per_million=max(one.input_usd_per_million, other.input_usd_per_million),
        output_usd_per_million=max(one.output_usd_per_million, other.output_usd_per_million),
    )


def _listed(model: str, table: Mapping[str, Price]) -> Price | None:
    if model in table:
        return table[model]
    from genai_prices import Usage, calc_price  # a large table: only once a price is asked for

    try:
        # The dearest that a million of each can be: tiers are priced by the size of the call.
        into = calc_price(Usage(input_tokens=_MILLION), model_ref=model).total_price
        out = calc_price(Usage(output_tokens=_MILLION), model_ref=model).total_price
    except LookupError:
        return None
    return Price(input_usd_per_million=_rounded(into), output_usd_per_million=_rounded(out))


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.000001"))
