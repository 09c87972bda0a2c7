"""The planner's composition root: `python -m loopwright_planner`."""

from __future__ import annotations

from loopwright.events import PlanRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.gate import Gate
from loopwright.service.llm.client import Llm
from loopwright.service.role import run_role
from loopwright.service.sandbox import Sandbox, choose
from loopwright.service.settings import load
from loopwright.workspace import Workspaces
from loopwright_planner.command import Programs
from loopwright_planner.recall import StateRecall
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PlannerSettings)

    async def sandbox() -> Sandbox:
        return await choose(allow_none=settings.sandbox_allow_none)

    async def make_step(parts: Process, objects: Objects) -> PlanStep:
        workspaces = Workspaces(settings.cache_dir / "planner", objects)
        programs = Programs(workspaces, sandbox, parts.redactor)
        gate = Gate(parts.bus.nc)
        recall = StateRecall(parts.bus.nc)
        return PlanStep(
            workspaces, Llm(settings), settings.llm_timeout_s, programs, recall, gate=gate
        )

    run_role("planner", PlanRequested, settings, make_step)


if __name__ == "__main__":
    main()
