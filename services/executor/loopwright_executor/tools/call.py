"""One call of a tool: the action with all that its tool may need."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loopwright.breaker import Holder
from loopwright.goal import Goal
from loopwright.service.sandbox import Limits
from loopwright.tools import TOOLS, Action, EffectClass, ToolSpec
from loopwright.wire import Written

ArgsT = TypeVar("ArgsT", bound=Written)


@dataclass(frozen=True, slots=True)
class Call:
    """An action of a granted plan, about to run."""

    loop: str
    iteration: int
    index: int
    """The action's place in the plan, from 0."""
    attempt: int
    action: Action
    goal: Goal
    tree: Path
    """The workspace."""
    limits: Limits
    stop: asyncio.Event
    holder: Holder | None = None
    """The attempt, as breakers know it."""

    def args(self, kind: type[ArgsT]) -> ArgsT:
        """The action's arguments, typed; they were checked with the plan."""
        return kind.model_validate(self.action.args)

    @property
    def spec(self) -> ToolSpec:
        """What is known of the tool."""
        return TOOLS[self.action.tool]

    @property
    def digest(self) -> str:
        """Of the tool and its arguments: what is asked, whoever asks."""
        asked = json.dumps([self.action.tool, self.action.args], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of this action and of no other; never a model's own id."""
        text = f"{self.loop}/{self.iteration}/{self.index}/{self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def effect(self) -> EffectClass:
        """What this call can change: of the tool, or less where the arguments say so."""
        match self.action.tool, self.action.args:
            case "http.request", {"method": "PUT" | "DELETE"}:
                return "external_idempotent"
            case "mcp.call", {"server": server}:
                found = (item.effects for item in self.goal.mcp if item.name == server)
                return next(found, "external_once")
            case _:
                return self.spec.effect
