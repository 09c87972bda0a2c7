"""The planner's composition root: `python -m loopwright_planner`."""

from __future__ import annotations

from loopwright.events import PlanRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.llm.client import Llm
from loopwright.service.role import run_role
from loopwright.service.settings import load
from loopwright.workspace import Workspaces
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PlannerSettings)

    async def make_step(_: Process, objects: Objects) -> PlanStep:
        workspaces = Workspaces(settings.cache_dir / "planner", objects)
        return PlanStep(workspaces, Llm(settings), settings.llm_timeout_s)

    run_role("planner", PlanRequested, settings, make_step)


if __name__ == "__main__":
    main()
