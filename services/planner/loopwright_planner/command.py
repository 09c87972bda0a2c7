"""A program as the planner: the context goes in as JSON, the plan comes out as JSON.

It runs like any command of a loop: in the sandbox, in a checkout of the workspace that is thrown
away, without a network, within its time and its output. What it says is a proposal like a model's:
its tools, arguments and paths are checked before it leaves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from loopwright.errors import BusUnavailableError, StepError
from loopwright.events import PlanRequested
from loopwright.goal import CommandPlanner
from loopwright.memory import Recalled
from loopwright.plan import Plan
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import (
    Command,
    Completed,
    Sandbox,
    SandboxUnavailableError,
    limits_of,
)
from loopwright.service.step import Request
from loopwright.tools import TOOLS
from loopwright.workspace.errors import WorkspaceError
from loopwright_planner.core import read_plan

#: Version of the context's form; fields may be added to it.
CONTEXT_VERSION = 1
#: Where a command finds programs: the interpreter that runs the planner comes first.
PATH = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
#: A plan as JSON, in bytes; more is no plan.
MAX_PLAN_BYTES = 1024 * 1024
#: Of what the program said on standard error, in characters: its end.
SHOWN_CHARS = 1500
#: Kept of the time until the grant's deadline, to report in, in seconds.
REPORT_S = 1.0


class Trees(Protocol):
    """What a command needs of workspaces."""

    async def create(self, loop: str, files: Any, /) -> Any:
        """The goal's own workspace."""
        ...

    def checkout(self, loop: str, revision: str, /) -> AbstractAsyncContextManager[Path]:
        """A tree that goes when the block ends."""
        ...

    async def restore(
        self, tree: Path, loop: str, base: str, patterns: Sequence[str], /
    ) -> list[str]:
        """Make what matches the patterns as it is in `base`."""
        ...


@dataclass(slots=True)
class Programs:
    """Runs planner programs; the sandbox is looked for when the first one is asked for."""

    trees: Trees
    find_sandbox: Callable[[], Awaitable[Sandbox]]
    redactor: Redactor = field(default_factory=lambda: Redactor([]))
    _sandbox: Sandbox | None = None

    async def plan(
        self,
        request: Request[PlanRequested],
        spec: CommandPlanner,
        memories: Sequence[Recalled] = (),
    ) -> Plan:
        """The program's plan; StepError says what it said instead."""
        try:
            sandbox = self._sandbox = self._sandbox or await self.find_sandbox()
            completed = await self._run(sandbox, request, spec, memories)
        except SandboxUnavailableError as error:
            raise StepError("sandbox_unavailable", str(error)) from error
        except BusUnavailableError as error:
            raise StepError("network", f"the workspace cannot be read: {error}") from error
        except WorkspaceError as error:
            raise StepError("internal", f"the workspace cannot be read: {error}") from error
        return self._read(completed, request, spec)

    async def _run(
        self,
        sandbox: Sandbox,
        request: Request[PlanRequested],
        spec: CommandPlanner,
        memories: Sequence[Recalled],
    ) -> Completed:
        goal = request.goal
        base = goal.workspace.revision
        if base is None:
            base = (await self.trees.create(request.loop, goal.workspace.files)).revision
        left = (request.grant.deadline - datetime.now(UTC)).total_seconds() - REPORT_S
        if left <= 0 or request.stop.is_set():
            raise StepError("timeout", "no time is left for the planner program")
        limits = limits_of(goal.limits, min(spec.timeout, left), excerpt_bytes=2 * MAX_PLAN_BYTES)
        async with self.trees.checkout(request.loop, request.data.revision or base) as tree:
            if goal.verify.protected:  # a loop must not rewrite its own planner
                await self.trees.restore(tree, request.loop, base, goal.verify.protected)
            command = Command(
                argv=("/bin/sh", "-c", spec.run),
                cwd=tree,
                writable=(tree,),
                env={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=json.dumps(context(request, memories), ensure_ascii=False).encode(),
                limits=limits,
            )
            return await sandbox.run(command, stop=request.stop)

    def _read(self, done: Completed, request: Request[PlanRequested], spec: CommandPlanner) -> Plan:
        name = f"the planner program `{self.redactor.text(spec.run)[:80]}`"
        if done.killed_by == "stopped":
            raise StepError("timeout", f"{name} was stopped: the loop ended or its time was over")
        if done.killed_by == "wall":
            raise StepError("timeout", f"{name} took more than {done.duration_s:.1f} s")
        if done.killed_by is not None:
            raise StepError("sandbox_limit", f"{name} passed its {done.killed_by} limit")
        if done.exit_code != 0:
            code = f"{name} ended with exit code {done.exit_code}"
            raise StepError("tool_failed", f"{code}{self._said(done)}")
        if done.stdout.total_bytes > MAX_PLAN_BYTES:
            size = f"{done.stdout.total_bytes} bytes, a plan has at most {MAX_PLAN_BYTES}"
            raise StepError("invalid_output", f"{name} wrote {size}")
        plan = read_plan(done.stdout.text(), request.grant.tools, request.goal.verify.protected)
        if not isinstance(plan, Plan):
            fault = self.redactor.text(plan.message)[:SHOWN_CHARS]
            raise StepError(plan.kind, f"{name}: {fault}{self._said(done)}")
        return plan

    def _said(self, done: Completed) -> str:
        text = self.redactor.text(done.stderr.text()).strip()
        return f"; it said: {text[-SHOWN_CHARS:]}" if text else ""


def context(request: Request[PlanRequested], memories: Sequence[Recalled] = ()) -> dict[str, Any]:
    """What a planner program reads: everything that a plan may be made from."""
    data = request.data.model_dump(mode="json", by_alias=True, exclude_none=True)
    for hidden in ("grant", "kind", "settles", "control", "price", "wake_at", "warnings"):
        data.pop(hidden, None)
    tools = [spec for spec in TOOLS.values() if spec.group in request.grant.tools]
    return {
        "version": CONTEXT_VERSION,
        "loop": request.loop,
        "iteration": request.grant.iteration,
        "attempt": request.grant.attempt,
        "deadline": request.grant.deadline.isoformat(),
        "goal": request.goal.model_dump(mode="json", by_alias=True, exclude_none=True),
        "tools": {
            spec.name: {"does": spec.description, "args": spec.args.model_json_schema()}
            for spec in tools
        },
        "memories": [item.model_dump(mode="json", exclude_none=True) for item in memories],
        **data,
    }
