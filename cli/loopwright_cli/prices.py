"""The list price of a model, for an estimate; the coordinator fixes what a loop is charged."""

from __future__ import annotations

from loopwright.budget import Price

_MILLION = 1_000_000


def list_price(model: str) -> Price | None:
    """Dollars per million tokens; None where the table does not know the model."""
    from genai_prices import Usage, calc_price  # a large table: only once a price is asked for

    try:
        into = calc_price(Usage(input_tokens=_MILLION), model_ref=model).total_price
        out = calc_price(Usage(output_tokens=_MILLION), model_ref=model).total_price
    except LookupError:
        return None
    return Price(input_usd_per_million=round(into, 6), output_usd_per_million=round(out, 6))
