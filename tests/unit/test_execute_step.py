"""The executor's step where it fails before or between its actions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from loopwright.budget import Usage
from loopwright.errors import BusUnavailableError
from loopwright.events import ExecutionRequested, Grant
from loopwright.objects import MemoryObjects
from loopwright.plan import Plan
from loopwright.results import StepFailed
from loopwright.service.step import Request
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.tools import Action
from loopwright.workspace import Workspaces
from loopwright_executor.app import ExecuteStep


class Away(MemoryObjects):
    """A store that does not answer."""

    async def info(self, name: str) -> Mapping[str, str]:
        raise BusUnavailableError(f"object {name}: no answer")


def execution_request() -> Request[ExecutionRequested]:
    """A plan of one action on a revision that is not cached here."""
    grant = Grant(
        role="executor",
        iteration=1,
        attempt=1,
        token_digest="0" * 64,
        deadline=datetime.now(UTC) + timedelta(seconds=60),
    )
    action = Action(tool="shell", args={"run": "true"})
    data = ExecutionRequested(
        grant=grant, revision="a" * 40, plan=Plan(summary="s", actions=(action,))
    )
    return Request(LOOP_ID, playbook_goal(), grant, data, asyncio.Event())


async def test_actions_that_were_not_started_are_not_counted(tmp_path: Path) -> None:
    step = ExecuteStep(Workspaces(tmp_path, Away()), cast(Any, None))
    performed = await step.perform(execution_request())
    assert isinstance(performed.body, StepFailed)
    assert performed.body.error.kind == "network"
    assert performed.usage == Usage(actions=0)
