"""The shell and python tools: commands in the sandbox, in the workspace."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import (
    Command,
    Completed,
    Limits,
    Sandbox,
    SandboxUnavailableError,
)
from loopwright.tools import PythonArgs, ShellArgs

#: Where a command finds programs: the interpreter that runs the executor comes first.
PATH = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs one command at a time in a workspace."""

    sandbox: Sandbox
    redactor: Redactor

    async def shell(
        self, tree: Path, args: ShellArgs, limits: Limits, stop: asyncio.Event
    ) -> ActionOutcome:
        """Run a command line with `sh -c`."""
        return await self._run("shell", tree, ("/bin/sh", "-c", args.run), b"", limits, stop)

    async def python(
        self, tree: Path, args: PythonArgs, limits: Limits, stop: asyncio.Event
    ) -> ActionOutcome:
        """Run a program with this interpreter; its text goes in by standard input."""
        argv = (sys.executable, "-", *args.argv)
        return await self._run("python", tree, argv, args.code.encode(), limits, stop)

    async def _run(
        self,
        tool: str,
        tree: Path,
        argv: tuple[str, ...],
        stdin: bytes,
        limits: Limits,
        stop: asyncio.Event,
    ) -> ActionOutcome:
        command = Command(
            argv=argv,
            cwd=tree,
            writable=(tree,),
            env={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=stdin,
            limits=limits,
        )
        try:
            completed = await self.sandbox.run(command, stop=stop)
        except SandboxUnavailableError as error:
            raise StepError("sandbox_unavailable", str(error)) from error
        return self._outcome(tool, completed)

    def _outcome(self, tool: str, completed: Completed) -> ActionOutcome:
        if completed.killed_by == "stopped":
            raise StepError("timeout", f"{tool} was stopped: the loop ended or its time was over")
        good = completed.exit_code == 0 and completed.killed_by is None
        return ActionOutcome(
            tool=tool,
            status="succeeded" if good else "failed",
            exit_code=completed.exit_code,
            failure=None if good else _failure(completed),
            stdout=self.redactor.text(completed.stdout.text()),
            stderr=self.redactor.text(completed.stderr.text()),
            duration_s=round(completed.duration_s, 4),
            max_rss_bytes=completed.max_rss_bytes,
        )


def _failure(completed: Completed) -> str:
    if completed.killed_by is not None:
        return f"the {completed.killed_by} limit ended it"
    if completed.signal is not None:
        return f"ended by signal {completed.signal}"
    return "tool_failed"
