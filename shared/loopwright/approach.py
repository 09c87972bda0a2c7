"""How one plan is made, where it is not as the goal says: the rung of the ladder, and what follows
the loop's progress. The coordinator decides it, the granting event records it, the planner obeys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from loopwright.planners import Effort, OpenAI
from loopwright.wire import Wire

RungKind = Literal["model", "cheaper", "playbook"]

#: What the planner is told to do differently.
Strategy = Literal["inspect", "restore", "rethink"]

Setting = Literal["rung", "model", "temperature", "effort", "input", "output", "strategy"]


class Change(Wire):
    """A setting that this event changes, and why."""

    setting: Setting
    before: str
    now: str
    cause: str
    """A sentence for people."""

    def __str__(self) -> str:
        return f"{self.setting}: {self.before} → {self.now} ({self.cause})"


class Approach(Wire):
    """The settings that a plan is made with."""

    rung: int = 0
    """0 is the goal's own model; each further one is a step down the ladder."""
    kind: RungKind = "model"
    model: str
    temperature: float | None = None
    effort: Effort | None = None
    max_input_tokens: int
    max_output_tokens: int
    strategy: Strategy | None = None
    since: datetime | None = None
    """When the loop came to this rung, unless it is the first."""
    failures: int = 0
    """Failures in a row that the loop had when it came to this rung."""
    compact: int = 0
    """Context overflows in a row when it was made."""
    changes: tuple[Change, ...] = ()


def as_the_goal_says(spec: OpenAI) -> Approach:
    """The approach of a loop that has met nothing."""
    return Approach(
        model=spec.model,
        temperature=spec.temperature,
        effort=spec.effort,
        max_input_tokens=spec.max_input_tokens,
        max_output_tokens=spec.max_output_tokens,
    )


def settings_by(spec: OpenAI, approach: Approach | None) -> OpenAI:
    """The goal's planner with an approach's settings."""
    if approach is None:
        return spec
    return spec.model_copy(
        update={
            "model": approach.model,
            "temperature": approach.temperature,
            "effort": approach.effort,
            "max_input_tokens": approach.max_input_tokens,
            "max_output_tokens": approach.max_output_tokens,
        }
    )
