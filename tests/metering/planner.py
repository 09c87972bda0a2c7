"""The product's planning step, with its calls, gate and limits; only the workspace is in memory.

`python -m metering.planner`: the executors of these runs are scripted, so no files are to be read.
"""

from __future__ import annotations

from loopwright.events import PlanRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.gate import Gate
from loopwright.service.limits import Limits
from loopwright.service.llm.client import Llm
from loopwright.service.role import run_role
from loopwright.service.settings import load
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from planning import MemoryWorkspaces


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PlannerSettings)

    async def make_step(parts: Process, _: Objects) -> PlanStep:
        nc = parts.bus.nc
        gate, limits = Gate(nc), Limits(nc, settings.llm_limits)
        workspaces = MemoryWorkspaces({"a": b"1"})
        return PlanStep(workspaces, Llm(settings), settings.llm_timeout_s, gate=gate, limits=limits)

    run_role("planner", PlanRequested, settings, make_step)


if __name__ == "__main__":
    main()
