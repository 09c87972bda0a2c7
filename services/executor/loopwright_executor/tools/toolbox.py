"""Which implementation an action's tool has, and what is done alike for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from loopwright.errors import StepError
from loopwright.goal import Goal
from loopwright.plan import ActionOutcome
from loopwright.service.gate import Gate
from loopwright.spawn import SPAWN_TOOL
from loopwright.tools import TOOLS, OwnTool, action_faults
from loopwright.tools import arguments as a
from loopwright_executor.joining import started as spawn_started
from loopwright_executor.journal import Journal
from loopwright_executor.once import Once
from loopwright_executor.tools import files
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.guarded import dependency_of, told
from loopwright_executor.tools.http import Http
from loopwright_executor.tools.kept import kept_secret
from loopwright_executor.tools.mcp import Mcp
from loopwright_executor.tools.own import Own
from loopwright_executor.tools.secrets import Secrets

Runner = Callable[[Call], Awaitable[ActionOutcome]]


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Runs actions by their tools."""

    commands: Commands
    once: Once
    http: Http
    mcp: Mcp
    own: Own
    gate: Gate | None = None
    """The breakers of what actions reach; without it every call is made."""

    async def run(self, call: Call, allowed: tuple[str, ...]) -> ActionOutcome:
        """Run one action. StepError where it may not run at all, or the step was stopped."""
        for fault in action_faults(call.action, allowed, "action"):
            raise StepError("permission_denied", str(fault))
        runner = self._runner(call.action.tool)
        self.commands.sandbox_for(call)
        dependency = dependency_of(call, self.own.tools)
        if self.gate is None or call.holder is None or dependency is None:
            return await self.once.run(call, lambda: self._act(call, runner))
        # Before the journal: what was refused has not begun.
        async with self.gate.call(dependency, call.holder) as passage:
            made: list[ActionOutcome] = []

            async def act() -> ActionOutcome:
                made.append(await self._act(call, runner))
                return made[0]

            try:
                return await self.once.run(call, act)
            finally:
                outcome = made[0] if made else None
                told(passage, dependency, outcome, stopped=call.stop.is_set())

    async def without_secrets(
        self, goal: Goal, tree: Path, outcomes: Sequence[ActionOutcome]
    ) -> list[ActionOutcome]:
        """The outcomes, the last one failed where the workspace now holds a secret of the goal."""
        secrets = self.http.secrets.of(goal)
        found = await asyncio.to_thread(kept_secret, tree, secrets) if secrets else None
        if found is None or not outcomes:
            return [*outcomes]
        path, name = found
        said = (
            f"{path} holds the secret {name}; nothing of this plan is kept, since a workspace is "
            "stored and shown. Leave the secret where the tool puts it."
        )
        denied = {"status": "failed", "failure": "permission_denied", "stderr": said}
        return [*outcomes[:-1], outcomes[-1].model_copy(update=denied)]

    async def _act(self, call: Call, runner: Runner) -> ActionOutcome:
        """The action's outcome; a failure of its own is one too."""
        began = monotonic()
        try:
            outcome = await runner(call)
        except StepError as error:
            if call.stop.is_set() or error.info.kind == "sandbox_unavailable":
                raise
            outcome = ActionOutcome(
                tool=call.action.tool,
                status="failed",
                failure=error.info.kind,
                stderr=self.commands.redactor.text(error.info.message),
            )
        return outcome.model_copy(
            update={
                "tool": call.action.tool,
                "effect": call.effect,
                "duration_s": round(monotonic() - began, 4),
            }
        )

    def _runner(self, tool: str) -> Runner:
        runners: dict[str, Runner] = {
            "shell": self.commands.shell,
            "python": self.commands.python,
            "file.read": _file,
            "file.write": _file,
            "file.edit": _file,
            "file.delete": _file,
            "file.patch": self.commands.patch,
            "file.search": self.commands.search,
            "sql": self.commands.sql,
            SPAWN_TOOL: spawn_started,
            "http.get": self.http.get,
            "http.request": self.http.request,
            "mcp.tools": self.mcp.tools,
            "mcp.call": self.mcp.call,
            **dict.fromkeys(self.own.tools, self.own.run),
        }
        if tool not in runners:
            raise StepError("tool_not_found", f"'{tool}' has no implementation in this executor")
        return runners[tool]


async def _file(call: Call) -> ActionOutcome:
    match call.args(TOOLS[call.action.tool].args):
        case a.FileReadArgs() as args:
            text = files.read(call.tree, args)
        case a.FileWriteArgs() as args:
            text = files.write(call.tree, args)
        case a.FileEditArgs() as args:
            text = files.edit(call.tree, args)
        case a.FileDeleteArgs() as args:
            text = files.delete(call.tree, args)
        case other:
            raise StepError("tool_not_found", f"{type(other).__name__} is no file tool")
    return ActionOutcome(tool=call.action.tool, status="succeeded", stdout=text)


def toolbox(
    commands: Commands,
    journal: Journal,
    *,
    secrets: Secrets,
    private_hosts: frozenset[str],
    own: Mapping[str, OwnTool[Any]],
    gate: Gate | None = None,
) -> Toolbox:
    """Every tool, put together."""
    return Toolbox(
        commands,
        Once(journal),
        Http(secrets, commands.redactor, private_hosts),
        Mcp(commands, secrets, private_hosts),
        Own(commands, own),
        gate,
    )
