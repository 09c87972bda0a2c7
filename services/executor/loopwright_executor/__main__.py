"""The executor's composition root: `python -m loopwright_executor`."""

from __future__ import annotations

from loopwright.events import ExecutionRequested
from loopwright.objects import Objects
from loopwright.plugins import load_own_tools
from loopwright.service.app import Process
from loopwright.service.role import run_role
from loopwright.service.sandbox import choose, strong
from loopwright.service.settings import load
from loopwright.workspace import Workspaces
from loopwright_executor.app import ExecuteStep
from loopwright_executor.journal import BusJournal
from loopwright_executor.settings import ExecutorSettings
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.secrets import Secrets
from loopwright_executor.tools.toolbox import toolbox


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(ExecutorSettings)

    async def make_step(parts: Process, objects: Objects) -> ExecuteStep:
        sandbox = await choose(allow_none=settings.sandbox_allow_none)
        workspaces = Workspaces(settings.cache_dir / "executor", objects)
        tools = toolbox(
            Commands(sandbox, parts.redactor, settings.programs, await strong()),
            BusJournal(parts.bus),
            secrets=Secrets({k: v.get_secret_value() for k, v in settings.secrets.items()}),
            private_hosts=settings.private_hosts,
            own=load_own_tools(),
        )
        return ExecuteStep(workspaces, tools)

    run_role("executor", ExecutionRequested, settings, make_step)


if __name__ == "__main__":
    main()
