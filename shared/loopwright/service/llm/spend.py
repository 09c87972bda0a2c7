"""What is left of a grant, and what a call may cost at worst: no call is made beyond it. Pure.

Before a call its worst case must fit into what is left; after it, what was really used is taken
off, or the worst case where that is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from loopwright.budget import Amount, Price, Usage

#: An answer shorter than this is no plan; with less left, no call is made.
MIN_OUTPUT_TOKENS = 256
#: What chat templates add around a message, in tokens, generously.
MESSAGE_TOKENS = 16

#: An upper bound of a text's tokens. It must be subadditive: never more for a whole than for its
#: parts together, so that parts that fit give a whole that fits.
TokenBound = Callable[[str], int]


def one_per_byte(text: str) -> int:
    """A token a byte: the only bound that holds for every tokenizer.

    Byte-level vocabularies, and those that fall back to bytes, never need more. English takes
    about a quarter of it, so a prompt is held to about a quarter of what its model could read.
    """
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that one call can use."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider says that a call used."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    """Of the input: what the provider had in its cache."""
    reasoning_tokens: int = 0
    """Of the output: what the model thought and did not say."""


@dataclass(slots=True)
class Purse:
    """A grant's ceilings and what was used of them."""

    reserved: Amount
    price: Price | None
    used: Usage = field(default_factory=Usage)

    @property
    def tokens_left(self) -> int:
        """Tokens that may still be used."""
        return max(0, self.reserved.tokens - self.used.tokens)

    @property
    def cost_left(self) -> int:
        """Micro-dollars that may still be used; of no meaning without a price."""
        return max(0, self.reserved.cost_microusd - self.used.cost_microusd)

    def output_room(self, input_tokens: int, wanted: int) -> int:
        """The largest output cap, at most `wanted`, with which a call still fits; below 1: none."""
        room = min(wanted, self.tokens_left - input_tokens)
        if self.price is None:
            return room
        left = self.cost_left - self.price.input_usd_per_million * input_tokens
        if left < 0:
            return 0
        if self.price.output_usd_per_million == 0:
            return room
        return min(room, int(left // self.price.output_usd_per_million))

    def input_room(self, wanted_output: int) -> int:
        """The largest prompt that leaves a fair share for the output; below 1: none."""
        output = min(wanted_output, max(MIN_OUTPUT_TOKENS, self.tokens_left // 4))
        room = self.tokens_left - output
        if self.price is None:
            return room
        into, out = self.price.input_usd_per_million, self.price.output_usd_per_million
        if out > 0:
            output = min(output, max(MIN_OUTPUT_TOKENS, int(self.cost_left // 4 // out)))
            output = min(output, wanted_output)
        left = self.cost_left - out * output
        if left < 0:
            return 0
        return room if into == 0 else min(room, int(left // into))

    def charge(self, tokens: Tokens | None, worst: Worst) -> None:
        """Take a call off: what it used, or its worst case where that is not known."""
        known = tokens or Tokens(worst.input_tokens, worst.output_tokens)
        counts = (known.input_tokens, known.output_tokens, known.cached_tokens)
        cost = self.price.cost_microusd(*counts) if self.price else 0
        self.used = Usage(
            input_tokens=self.used.input_tokens + known.input_tokens,
            output_tokens=self.used.output_tokens + known.output_tokens,
            cost_microusd=self.used.cost_microusd + cost,
            cached_tokens=self.used.cached_tokens + known.cached_tokens,
            reasoning_tokens=self.used.reasoning_tokens + known.reasoning_tokens,
            estimated=self.used.estimated or tokens is None,
        )
