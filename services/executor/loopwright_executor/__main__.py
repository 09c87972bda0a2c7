"""The executor's composition root: `python -m loopwright_executor`."""

from __future__ import annotations

from loopwright.events import ExecutionRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.role import run_role
from loopwright.service.sandbox import choose
from loopwright.service.settings import SandboxedSettings, load
from loopwright.workspace import Workspaces
from loopwright_executor.app import ExecuteStep
from loopwright_executor.journal import BusJournal
from loopwright_executor.once import Once
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.toolbox import Toolbox


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(SandboxedSettings)

    async def make_step(parts: Process, objects: Objects) -> ExecuteStep:
        sandbox = await choose(allow_none=settings.sandbox_allow_none)
        workspaces = Workspaces(settings.cache_dir / "executor", objects)
        tools = Toolbox(Commands(sandbox, parts.redactor), Once(BusJournal(parts.bus)))
        return ExecuteStep(workspaces, tools)

    run_role("executor", ExecutionRequested, settings, make_step)


if __name__ == "__main__":
    main()
