"""The executor's composition root: `python -m loopwright_executor`."""

from __future__ import annotations

from functools import partial

from loopwright.events import ExecutionRequested
from loopwright.objects import Objects
from loopwright.plugins import load_own_tools
from loopwright.service.app import Process
from loopwright.service.gate import Gate
from loopwright.service.metrics import SandboxMetrics
from loopwright.service.role import run_role
from loopwright.service.sandbox import choose, strong
from loopwright.service.settings import load
from loopwright.service.tidy import keep_small
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
        sandbox, stronger = await choose(settings.sandbox_allow_none), await strong()
        SandboxMetrics(
            parts.metrics.registry, sandbox.level, *([stronger.level] if stronger else [])
        )
        workspaces = Workspaces(settings.cache_dir / "executor", objects)
        parts.background.append(partial(keep_small, workspaces, settings.cache_bytes))
        tools = toolbox(
            Commands(sandbox, parts.redactor, settings.programs, stronger),
            BusJournal(parts.bus),
            secrets=Secrets({k: v.get_secret_value() for k, v in settings.secrets.items()}),
            private_hosts=settings.private_hosts,
            own=load_own_tools(),
            gate=Gate(parts.bus.nc),
        )
        return ExecuteStep(workspaces, tools)

    run_role("executor", ExecutionRequested, settings, make_step)


if __name__ == "__main__":
    main()
