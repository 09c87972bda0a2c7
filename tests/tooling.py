"""One call of a tool without a bus: for tests of what a tool does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from loopwright.goal import Goal
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import LandlockSandbox, Limits, Sandbox
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.tools import Action
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands


def call_of(
    tree: Path,
    tool: str,
    goal: Goal | None = None,
    *,
    index: int = 0,
    attempt: int = 1,
    **args: Any,
) -> Call:
    """A call of a tool in a workspace."""
    return Call(
        loop=LOOP_ID,
        iteration=1,
        index=index,
        attempt=attempt,
        action=Action(tool=tool, args=args),
        goal=goal or playbook_goal(),
        tree=tree,
        limits=Limits(wall_s=60.0),
        stop=asyncio.Event(),
    )


def commands(sandbox: Sandbox | None = None, secrets: tuple[str, ...] = ()) -> Commands:
    """Commands in the sandbox that needs no privilege."""
    return Commands(sandbox or LandlockSandbox(), Redactor(secrets))
