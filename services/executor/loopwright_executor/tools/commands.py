"""Commands in the sandbox, in the workspace: shell, python, and what other tools run there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import Command, Completed, Sandbox, SandboxUnavailableError
from loopwright.tools import arguments as a
from loopwright.wire import Json
from loopwright_executor import programs
from loopwright_executor.tools.call import Call

#: From weak to strong.
LEVELS: tuple[str, ...] = ("none", "landlock", "bwrap")
#: Where a command finds programs: the interpreter that runs the executor comes first.
PATH = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
PROGRAMS = Path(programs.__file__).parent
#: DuckDB looks for its limits here, and takes the lack of leave to read for a fault of its own.
_CGROUP = tuple(path for path in (Path("/sys/fs/cgroup"),) if path.is_dir())
#: Address space that DuckDB reserves, used or not; it is told a smaller limit.
_QUERY_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs one command at a time in a workspace."""

    sandbox: Sandbox
    redactor: Redactor
    programs: tuple[Path, ...] = ()
    """Folders that every command may read."""
    strong: Sandbox | None = None
    """For what asks for more isolation than `sandbox` gives."""

    def sandbox_for(self, call: Call) -> Sandbox:
        """The sandbox that a call runs in. StepError where none keeps it in as it must be.

        A level that is not met is a reason not to run, never one to go a step down.
        """
        wanted = max(call.goal.min_isolation, call.spec.min_isolation, key=LEVELS.index)
        for sandbox in (self.sandbox, self.strong):
            if sandbox is not None and LEVELS.index(sandbox.level) >= LEVELS.index(wanted):
                return sandbox
        raise StepError(
            "sandbox_unavailable",
            f"{call.action.tool} needs isolation '{wanted}', this executor has "
            f"'{self.sandbox.level}'; `loopwright doctor` says what is missing",
        )

    async def shell(self, call: Call) -> ActionOutcome:
        """Run a command line with `sh -c`."""
        return self.outcome(await self.run(call, ("/bin/sh", "-c", call.args(a.ShellArgs).run)))

    async def python(self, call: Call) -> ActionOutcome:
        """Run a program with this interpreter; its text goes in by standard input."""
        args = call.args(a.PythonArgs)
        argv = (sys.executable, "-", *args.argv)
        return self.outcome(await self.run(call, argv, args.code.encode()))

    async def patch(self, call: Call) -> ActionOutcome:
        """Apply a diff; git refuses paths that lead out of the workspace."""
        argv = ("git", "apply", "--verbose", "--whitespace=nowarn", "-")
        diff = call.args(a.FilePatchArgs).patch
        env = {"GIT_CEILING_DIRECTORIES": str(call.tree.parent)}
        return self.outcome(await self.run(call, argv, f"{diff.rstrip()}\n".encode(), env=env))

    async def search(self, call: Call) -> ActionOutcome:
        """Find lines by a regular expression."""
        asked = call.args(a.FileSearchArgs).model_dump()
        return self.outcome(await self.program(call, "search.py", asked))

    async def sql(self, call: Call) -> ActionOutcome:
        """Query the workspace's files."""
        asked = call.args(a.SqlArgs).model_dump()
        roomy = replace(call, limits=replace(call.limits, address_space_bytes=_QUERY_BYTES))
        return self.outcome(await self.program(roomy, "query.py", asked, readable=_CGROUP))

    async def program(
        self,
        call: Call,
        name: str,
        asked: Json,
        *,
        readable: tuple[Path, ...] = (),
        env: Mapping[str, str] | None = None,
        excerpt_bytes: int | None = None,
    ) -> Completed:
        """Run one of our own programs in the sandbox with its arguments as JSON."""
        path = PROGRAMS / name
        argv = (sys.executable, "-I", str(path))
        return await self.run(
            call,
            argv,
            json.dumps(asked).encode(),
            readable=(path, *readable),
            env=env,
            excerpt_bytes=excerpt_bytes,
        )

    async def run(
        self,
        call: Call,
        argv: tuple[str, ...],
        stdin: bytes = b"",
        *,
        readable: tuple[Path, ...] = (),
        env: Mapping[str, str] | None = None,
        excerpt_bytes: int | None = None,
    ) -> Completed:
        """Run a command to its end. StepError if it was stopped or nothing can keep it in."""
        limits = call.limits
        command = Command(
            argv=argv,
            cwd=call.tree,
            writable=(call.tree,),
            readable=(*readable, *self.programs),
            env={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            stdin=stdin,
            limits=replace(limits, excerpt_bytes=excerpt_bytes) if excerpt_bytes else limits,
        )
        try:
            completed = await self.sandbox_for(call).run(command, stop=call.stop)
        except SandboxUnavailableError as error:
            raise StepError("sandbox_unavailable", str(error)) from error
        if completed.killed_by == "stopped":
            tool = call.action.tool
            raise StepError("timeout", f"{tool} was stopped: the loop ended or its time was over")
        return completed

    def outcome(self, completed: Completed, tool: str = "") -> ActionOutcome:
        """What the planner is told of it."""
        good = completed.exit_code == 0 and completed.killed_by is None
        return ActionOutcome(
            tool=tool,
            status="succeeded" if good else "failed",
            exit_code=completed.exit_code,
            failure=None if good else failure_of(completed),
            stdout=self.redactor.text(completed.stdout.text()),
            stderr=self.redactor.text(completed.stderr.text()),
            max_rss_bytes=completed.max_rss_bytes,
            isolation=completed.isolation,
        )


def failure_of(completed: Completed) -> str:
    """The kind of failure: the limit, the signal, or that the tool itself failed."""
    if completed.killed_by is not None:
        return f"the {completed.killed_by} limit ended it"
    if completed.signal is not None:
        return f"ended by signal {completed.signal}"
    return "tool_failed"
