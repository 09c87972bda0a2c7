"""The planner's composition root: `python -m loopwright_planner`."""

from __future__ import annotations

from functools import partial

import httpx2

from loopwright.events import PlanRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.gate import Gate
from loopwright.service.limits import Limits
from loopwright.service.llm.cassette import Player, Recorder
from loopwright.service.llm.client import Llm
from loopwright.service.logs import Redactor
from loopwright.service.role import run_role
from loopwright.service.sandbox import Sandbox, choose
from loopwright.service.settings import load
from loopwright.service.tidy import keep_small
from loopwright.workspace import Workspaces
from loopwright_planner.command import Programs
from loopwright_planner.recall import StateRecall, nothing_known
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from loopwright_planner.telling import BusTelling


def transport(settings: PlannerSettings, redactor: Redactor) -> httpx2.AsyncBaseTransport | None:
    """How models are reached: as usual, or by a cassette. With one, no memory is asked for: it
    would be another at the next time."""
    if settings.cassette is None:
        return None
    if settings.cassette_mode == "play":
        return Player(settings.cassette, redactor)
    return Recorder(httpx2.AsyncHTTPTransport(), settings.cassette, redactor)


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PlannerSettings)

    async def sandbox() -> Sandbox:
        return await choose(allow_none=settings.sandbox_allow_none)

    async def make_step(parts: Process, objects: Objects) -> PlanStep:
        workspaces = Workspaces(settings.cache_dir / "planner", objects)
        parts.background.append(partial(keep_small, workspaces, settings.cache_bytes))
        programs = Programs(workspaces, sandbox, parts.redactor)
        gate = Gate(parts.bus.nc)
        recall = nothing_known() if settings.cassette else StateRecall(parts.bus.nc)
        llm = Llm(settings, transport=transport(settings, parts.redactor))
        # A cassette is one exchange a line, so that its answers come whole.
        streamed = settings.llm_stream and settings.cassette is None
        limits = Limits(parts.bus.nc, settings.llm_limits)
        return PlanStep(
            workspaces,
            llm,
            settings.llm_timeout_s,
            programs,
            recall,
            gate=gate,
            limits=limits,
            redactor=parts.redactor,
            telling=BusTelling(parts.bus.nc) if streamed else None,
        )

    run_role("planner", PlanRequested, settings, make_step)


if __name__ == "__main__":
    main()
