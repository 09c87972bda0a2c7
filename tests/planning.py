"""Requests for the planner, and workspaces in memory, for tests of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from loopwright.budget import Amount, Price
from loopwright.events import Grant, PlanRequested
from loopwright.goal import Goal, OpenAI
from loopwright.plan import CheckResult, Verdict
from loopwright.service.step import Request
from loopwright.testing import LOOP_ID, model_goal

REVISION = "a" * 40
PRICE = Price.model_validate({"input_usd_per_million": "1", "output_usd_per_million": "2"})


@dataclass(frozen=True)
class File:
    """An entry of a workspace in memory."""

    path: str
    bytes: int
    mode: str = "100644"


@dataclass(frozen=True)
class Base:
    """What `create` gives."""

    revision: str = REVISION


@dataclass
class MemoryWorkspaces:
    """One revision of files in memory."""

    files: dict[str, bytes] = field(default_factory=dict)
    read_paths: list[str] = field(default_factory=list)

    async def create(self, loop: str, files: Mapping[str, str] | None, /) -> Base:
        """Take the goal's files."""
        self.files = {path: text.encode() for path, text in (files or {}).items()}
        return Base()

    async def ls(self, loop: str, revision: str, /) -> list[File]:
        """All files."""
        return [File(path, len(content)) for path, content in self.files.items()]

    async def read(self, loop: str, revision: str, path: str, /) -> bytes | None:
        """One file; which were read is remembered."""
        self.read_paths.append(path)
        return self.files.get(path)


def openai_goal(*, max_input: int = 16_000, max_output: int = 1000, **overrides: Any) -> Goal:
    """A goal for a model with room for a prompt."""
    planner = {
        "backend": "openai",
        "model": "test-model",
        "max_input_tokens": max_input,
        "max_output_tokens": max_output,
    }
    budget = {"iterations": 5, "tokens": 1_000_000}
    return model_goal(**({"planner": planner, "budget": budget} | overrides))


def grant_for(goal: Goal, *, tokens: int | None = None, cost: int | None = None) -> Grant:
    """A grant as the coordinator gives it, or of the given size."""
    spec = goal.planner
    whole = spec.max_input_tokens + spec.max_output_tokens if isinstance(spec, OpenAI) else 0
    dollars = (
        PRICE.cost_microusd(spec.max_input_tokens, spec.max_output_tokens)
        if isinstance(spec, OpenAI)
        else 0
    )
    return Grant(
        role="planner",
        iteration=1,
        attempt=1,
        token_digest="0" * 64,
        deadline=datetime.now(UTC) + timedelta(seconds=60),
        reserved=Amount(
            tokens=whole if tokens is None else tokens,
            cost_microusd=dollars if cost is None else cost,
        ),
        tools=goal.tools,
    )


def plan_request(
    goal: Goal, *, grant: Grant | None = None, tenant: str = "default", **data: Any
) -> Request[PlanRequested]:
    """A claimed request to plan."""
    grant = grant or grant_for(goal)
    requested = PlanRequested(grant=grant, **({"price": PRICE} | data))
    return Request(LOOP_ID, goal, grant, requested, asyncio.Event(), tenant=tenant)


def verdict_of(**statuses: str) -> Verdict:
    """A verdict by check name: `passed`, `failed` or `error`."""
    checks = tuple(
        CheckResult.model_validate({"name": name, "status": status, "message": f"{name} {status}"})
        for name, status in statuses.items()
    )
    passed = sum(check.status == "passed" for check in checks)
    return Verdict(revision=REVISION, checks=checks, score=passed / max(1, len(checks)))
