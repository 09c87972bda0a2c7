"""A loop's steps on hosts that share nothing but the object store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from loopwright.events import ExecutionRequested, Grant
from loopwright.objects import MemoryObjects
from loopwright.plan import Plan
from loopwright.results import ExecutionFinished
from loopwright.service.logs import Redactor
from loopwright.service.step import Request
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.tools import Action
from loopwright.workspace import Workspaces
from loopwright_executor.app import ExecuteStep
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.secrets import Secrets
from loopwright_executor.tools.toolbox import toolbox

#: When the loop's first grant ends; a past date, so that no clock gives it by chance.
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


class NoSandbox:
    """Level only: writing files runs nothing."""

    level = "none"


def host(root: Path, objects: MemoryObjects) -> ExecuteStep:
    """An executor with a cache of its own."""
    tools = toolbox(
        Commands(cast(Any, NoSandbox()), Redactor([])),
        cast(Any, None),
        secrets=Secrets({}),
        private_hosts=frozenset(),
        own={},
    )
    return ExecuteStep(Workspaces(root, objects), tools)


async def executed(step: ExecuteStep, revision: str | None, iteration: int) -> str:
    """The revision after an iteration that writes a file, text or binary or large."""
    content = (f"line {iteration}\n" * 10**iteration)[:300_000]
    grant = Grant(
        role="executor",
        iteration=iteration,
        attempt=1,
        token_digest="0" * 64,
        deadline=BEGIN + timedelta(minutes=iteration),
        tools=("file",),
    )
    action = Action(tool="file.write", args={"path": f"f{iteration}.txt", "content": content})
    plan = Plan(summary=f"write {iteration}", actions=(action,))
    data = ExecutionRequested(grant=grant, revision=revision, plan=plan)
    request = Request(LOOP_ID, playbook_goal(), grant, data, asyncio.Event())
    performed = await step.perform(request)
    assert isinstance(performed.body, ExecutionFinished), performed.body
    assert performed.body.outcome.succeeded, performed.body.outcome
    return performed.body.outcome.revision


async def test_two_hosts_take_turns_and_make_the_revisions_that_one_would(tmp_path: Path) -> None:
    shared = MemoryObjects()
    hosts = [host(tmp_path / name, shared) for name in ("a", "b")]
    alone = host(tmp_path / "alone", MemoryObjects())
    together: list[str] = []
    by_one: list[str] = []
    for iteration in range(1, 6):
        step = hosts[iteration % 2]
        together.append(await executed(step, together[-1] if together else None, iteration))
        by_one.append(await executed(alone, by_one[-1] if by_one else None, iteration))
    assert together == by_one
    assert len(set(together)) == 5
