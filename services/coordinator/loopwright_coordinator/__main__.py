"""The coordinator's composition root: `python -m loopwright_coordinator`."""

from __future__ import annotations

import asyncio

from loopwright import subjects
from loopwright.service.app import Work, process, serve
from loopwright.service.bus import Bus
from loopwright.service.consumers import COORDINATOR
from loopwright.service.gate import Gate
from loopwright.service.metrics import BreakerMetrics, CoordinatorMetrics, WatchdogMetrics
from loopwright.service.role import declared
from loopwright.service.settings import load
from loopwright.service.streams import declare_when_up
from loopwright_coordinator.admission import Admission
from loopwright_coordinator.app import Coordinator
from loopwright_coordinator.control import Controls
from loopwright_coordinator.dependencies import Dependencies
from loopwright_coordinator.kin import Kin
from loopwright_coordinator.log import Log
from loopwright_coordinator.quotas import Quotas
from loopwright_coordinator.settings import CoordinatorSettings
from loopwright_coordinator.watchdog import Watchdog


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(CoordinatorSettings)
    parts = process("coordinator", settings)
    counters = CoordinatorMetrics(parts.metrics.registry)
    watched = WatchdogMetrics(parts.metrics.registry)
    breakers = BreakerMetrics(parts.metrics.registry)
    works: list[Work] = []

    async def prepare(bus: Bus) -> None:
        if settings.declare_streams:
            await declare_when_up(bus.js, settings, settings.stream_replicas)
        objects = await declared(bus, COORDINATOR, subjects.GOALS)
        log = Log(bus, objects, f"/coordinator/{settings.replica}")
        quotas = Quotas(log)
        admission = Admission(log, parts.tracing, settings.max_usd, settings.prices, quotas)
        coordinator = Coordinator(
            bus,
            log,
            parts.tracing,
            parts.metrics,
            counters,
            admission,
            Controls(bus, quotas),
            Dependencies(Gate(bus.nc), log, breakers),
            Kin(log, parts.tracing, settings.prices),
        )
        watchdog = Watchdog(
            bus,
            log,
            coordinator.settle,
            watched,
            settings.replica,
            settings.watch_s,
            settings.sweep_s,
            settings.max_usd,
        )
        works.extend((coordinator.run, watchdog.run))

    async def run(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work(stop))

    parts.on_start.append(prepare)
    parts.background.append(run)
    serve(parts)


if __name__ == "__main__":
    main()
