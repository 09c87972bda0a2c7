"""One call of a tool without a bus: for tests of what a tool does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopwright.goal import Goal
from loopwright.plan import ActionOutcome
from loopwright.service.gate import Gate
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import LandlockSandbox, Limits, Sandbox
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.tools import Action, OwnTool
from loopwright_executor.journal import Entry, State
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.secrets import Secrets
from loopwright_executor.tools.toolbox import Toolbox
from loopwright_executor.tools.toolbox import toolbox as made


def call_of(
    tree: Path,
    tool: str,
    goal: Goal | None = None,
    /,
    *,
    index: int = 0,
    attempt: int = 1,
    loop: str = LOOP_ID,
    **args: Any,
) -> Call:
    """A call of a tool in a workspace."""
    return Call(
        loop=loop,
        iteration=1,
        index=index,
        attempt=attempt,
        action=Action(tool=tool, args=args),
        goal=goal or playbook_goal(),
        tree=tree,
        limits=Limits(wall_s=120.0, cpu_s=120.0),
        stop=asyncio.Event(),
    )


def commands(
    sandbox: Sandbox | None = None, secrets: tuple[str, ...] = (), programs: tuple[Path, ...] = ()
) -> Commands:
    """Commands in the sandbox that needs no privilege."""
    return Commands(sandbox or LandlockSandbox(), Redactor(secrets), programs)


class MemoryJournal:
    """The journal in this process, shared by all who hold it."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int, int], Entry] = {}

    async def begin(self, call: Call) -> tuple[bool, Entry]:
        place = (call.loop, call.iteration, call.index)
        found = self.entries.get(place)
        if found is not None and found.digest == call.digest:
            return False, found
        self.entries[place] = Entry("begun", call.digest, 1, "mark")
        return True, self.entries[place]

    async def write(self, call: Call, entry: Entry, state: State, outcome: ActionOutcome) -> None:
        place = (call.loop, call.iteration, call.index)
        self.entries[place] = replace(entry, state=state, outcome=outcome)


def toolbox(
    sandbox: Sandbox | None = None,
    secrets: dict[str, str] | None = None,
    private_hosts: frozenset[str] = frozenset(),
    own: tuple[OwnTool[Any], ...] = (),
    programs: tuple[Path, ...] = (),
    strong: Sandbox | None = None,
    gate: Gate | None = None,
) -> Toolbox:
    """Every tool, with a journal of its own."""
    known = secrets or {}
    return made(
        replace(commands(sandbox, tuple(known.values()), programs), strong=strong),
        MemoryJournal(),
        secrets=Secrets(known),
        private_hosts=private_hosts,
        own={tool.name: tool for tool in own},
        gate=gate,
    )
