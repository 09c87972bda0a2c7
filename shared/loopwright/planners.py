"""How a goal wants its plans made: by rules, or by a model with a ladder to fall down on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loopwright.budget import Price
from loopwright.checks import CheckName
from loopwright.tools import Action
from loopwright.wire import Seconds, Written, added

RuleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Effort = Literal["minimal", "low", "medium", "high"]


class When(Written):
    """When a rule applies: at the start, or when any of these checks fails."""

    start: bool = False
    """In the first iteration, before there is a verdict."""
    failing: tuple[CheckName, ...] = ()


class Rule(Written):
    """A playbook rule: when this holds, do that."""

    name: RuleName
    when: When
    times: int = Field(default=1, ge=1, le=1000)
    """How often the rule may be used in one loop."""
    do: tuple[Action, ...] = Field(min_length=1, max_length=100)


class Playbook(Written):
    """Deterministic planning without a model: the first rule that applies gives the plan."""

    backend: Literal["playbook"]
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=500)


class Model(Written):
    """Another model behind the same endpoint."""

    model: ModelName
    price: Price | None = None
    """For models that the price table does not know."""


class Ladder(Written):
    """How a loop falls from one way of planning to the next, and climbs back."""

    after: int = Field(default=2, ge=1, le=20)
    """Failures in a row on a rung before the next one; a refusal (no such model, no key) is
    enough by itself."""
    recover: Seconds = 300.0
    """So long on a lower rung before the goal's own model is tried again."""
    cheaper: bool = True
    """Whether the last model is asked with half of the context, half of the output and little
    effort before the playbook."""


class OpenAI(Written):
    """Planning by a model behind any OpenAI-compatible endpoint.

    The endpoint and its key belong to the planner's own settings, never to a goal.
    """

    backend: Literal["openai"]
    model: ModelName = "gpt-4o-mini"
    temperature: float | None = Field(default=None, ge=0, le=2)
    effort: Effort | None = added(None)
    """How much a reasoning model is to think; left out where its server does not know it."""
    seed: int | None = added(None, ge=0, le=2**31 - 1)
    """For servers that can repeat an answer; left out where they cannot."""
    max_output_tokens: int = Field(default=4096, ge=1, le=200_000)
    """Output cap of a call; always sent."""
    max_input_tokens: int = Field(default=32_000, ge=256, le=2_000_000)
    """The prompt never grows past this."""
    price: Price | None = None
    """For models that the price table does not know."""
    show: tuple[str, ...] = ("**",)
    """Patterns of workspace files whose text the model sees, as far as they fit."""
    chain: tuple[Model, ...] = added((), max_length=5)
    """Models to plan with, in order, when the one before fails."""
    playbook: tuple[Rule, ...] = added((), max_length=500)
    """Rules to plan by when no model of the chain answers."""
    ladder: Ladder | None = added(None)
    """Steps down where there is a chain, a playbook or this."""
    stronger: Model | None = added(None)
    """The model to plan with while the loop is stuck although it was told so."""
    adaptive: bool = added(True)
    """Whether temperature, model, context and strategy follow the loop's progress."""

    @property
    def other_models(self) -> tuple[Model, ...]:
        """The models that a loop may come to beside the goal's own."""
        return (*self.chain, *((self.stronger,) if self.stronger else ()))


class CommandPlanner(Written):
    """Planning by a program: the context as JSON on its standard input, the plan on its output."""

    backend: Literal["command"]
    run: str = Field(min_length=1, max_length=30_000)
    """A command line, run with `sh -c` in the sandbox, in a checkout of the workspace."""
    timeout: Seconds = 60.0
    """Wall-clock time of one plan; `limits.plan_time` may be less."""


Planner = Annotated[Playbook | OpenAI | CommandPlanner, Field(discriminator="backend")]
