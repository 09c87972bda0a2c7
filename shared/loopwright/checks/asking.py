"""Checks that ask somebody: a model with a rubric, or a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopwright.budget import Amount, Price
from loopwright.checks.named import NamedCheck


class JudgeCheck(NamedCheck):
    """A model reads the work and votes by a rubric. It decides this check and no other.

    It is asked when everything else that is required passes. A vote to pass counts only with
    quotes that stand literally in the work.
    """

    kind: Literal["judge"]
    rubric: str = Field(min_length=1, max_length=20_000)
    """What must be true of the work, in words."""
    model: str | None = Field(default=None, min_length=1, max_length=200)
    """By itself another one than the planner's."""
    same_model: bool = False
    """Let the planner's own model judge its work."""
    votes: int = Field(default=1, ge=1, le=9)
    """So often it is asked, each time anew."""
    quorum: int | None = Field(default=None, ge=1, le=9)
    """So many votes to pass are needed; by itself more than half."""
    show: tuple[str, ...] = ("**",)
    """Patterns of files whose text it reads, changed ones first, as far as they fit."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int = Field(default=1024, ge=1, le=200_000)
    max_input_tokens: int = Field(default=32_000, ge=256, le=2_000_000)
    price: Price | None = None
    """For models that the price table does not know."""

    @property
    def needed(self) -> int:
        """Votes to pass that are needed."""
        return self.quorum or self.votes // 2 + 1

    def worst(self, price: Price | None) -> Amount:
        """The most that all its votes can cost."""
        tokens = self.votes * (self.max_input_tokens + self.max_output_tokens)
        cost = price.cost_microusd(self.max_input_tokens, self.max_output_tokens) if price else 0
        return Amount(tokens=tokens, cost_microusd=self.votes * cost)


class ApprovalCheck(NamedCheck):
    """A person agrees. They are asked when everything else that is required passes."""

    kind: Literal["approval"]
    ask: str = Field(default="Is this what was wanted?", min_length=1, max_length=2000)
    """The question."""
