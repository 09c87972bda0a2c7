"""Budgets as integers: what a goal may spend, what a grant reserves, what was charged."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

from pydantic import Field

from loopwright.wire import Seconds, Wire, Written, added

MICRO = Decimal(1_000_000)

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=12, decimal_places=6)]


def microusd(usd: Decimal) -> int:
    """A cap in micro-dollars, rounded down: a cap never grows by rounding."""
    return int((usd * MICRO).to_integral_value(ROUND_FLOOR))


class Budget(Written):
    """What the whole loop may spend; a limit that trips ends the loop."""

    iterations: int = Field(default=10, ge=1, le=10_000)
    """Times round plan → execute → verify."""
    tokens: int | None = Field(default=None, ge=1)
    """Model tokens, input and output together."""
    usd: Usd | None = None
    """Dollars for model calls."""
    actions: int | None = Field(default=None, ge=1)
    """Tool calls."""
    time: Seconds = 3600.0
    """Wall-clock time from admission to the end."""

    @property
    def cost_microusd(self) -> int | None:
        """The dollar cap in micro-dollars."""
        return None if self.usd is None else microusd(self.usd)


class Price(Written):
    """A model's price in dollars per million tokens."""

    input_usd_per_million: Usd
    output_usd_per_million: Usd
    cached_usd_per_million: Usd | None = added(None)
    """Of input that the provider had in its cache; the same as other input where not given."""

    def cost_microusd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Micro-dollars for a call, rounded up: a charge never shrinks by rounding.

        Dollars per million tokens are micro-dollars per token, so no scaling is needed.
        `cached_tokens` are some of the input.
        """
        total = (
            self.input_usd_per_million * input_tokens + self.output_usd_per_million * output_tokens
        )
        if self.cached_usd_per_million is not None:
            cheaper = max(Decimal(0), self.input_usd_per_million - self.cached_usd_per_million)
            total -= cheaper * min(cached_tokens, input_tokens)
        return int(total.to_integral_value(ROUND_CEILING))


class Usage(Wire):
    """What a step really used, as the worker or the provider reports it."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cost_microusd: int = Field(default=0, ge=0)
    actions: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    """Of the input: what the provider had in its cache."""
    reasoning_tokens: int = Field(default=0, ge=0)
    """Of the output: what the model thought and did not say."""
    estimated: bool = False
    """True where the provider gave no usage and the worst case is charged."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_microusd=self.cost_microusd + other.cost_microusd,
            actions=self.actions + other.actions,
            estimated=self.estimated or other.estimated,
        )


class Amount(Wire):
    """Tokens, micro-dollars and actions: reserved by a grant, charged by a settlement, or spent."""

    tokens: int = Field(default=0, ge=0)
    cost_microusd: int = Field(default=0, ge=0)
    actions: int = Field(default=0, ge=0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            tokens=self.tokens + other.tokens,
            cost_microusd=self.cost_microusd + other.cost_microusd,
            actions=self.actions + other.actions,
        )

    def exceeds(self, other: Amount) -> bool:
        """Whether any part is more than the other's."""
        return (
            self.tokens > other.tokens
            or self.cost_microusd > other.cost_microusd
            or self.actions > other.actions
        )


NOTHING = Amount()
