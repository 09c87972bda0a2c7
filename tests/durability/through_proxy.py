"""Appends by competing writers through a proxy that does mischief: each exactly once."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from durability.connection import connected, object_store
from durability.writing import Record, begin, compete, violations
from loopwright.ids import new_loop_id
from loopwright.service.bus import Bus
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from loopwright_coordinator.log import Log
from proxy import Mischief, proxy
from servers import nats_server

#: Appends between two checks of the whole log.
ROUND = 1_000
#: Loops that the writers of a round compete for.
LOOPS = 2
#: With fewer the writers did not compete, and the run is no test.
CONFLICTS = 100


@dataclass
class Report:
    """What a run came to."""

    seed: int
    acknowledged: int = 0
    conflicts: int = 0
    unknown: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def compete_through_proxy(
    folder: Path, *, seed: int, appends: int = ROUND, seconds: float = 0.0, writers: int = 4
) -> Report:
    """Rounds of appends, each on fresh loops and checked, until every limit is reached."""
    report, began = Report(seed), monotonic()
    with nats_server(folder) as server:
        async with connected(server.url) as straight, proxy(server.port) as between:
            await declare(straight.js, ServiceSettings())
            mischief = Mischief(between, seed)
            while (
                report.acknowledged < appends
                or report.conflicts < CONFLICTS
                or monotonic() - began < seconds
            ):
                await _round(straight, mischief, report, min(appends, ROUND), writers)
            report.faults = dict(mischief.done)
    report.seconds = monotonic() - began
    return report


async def _round(
    straight: Bus, mischief: Mischief, report: Report, appends: int, writers: int
) -> None:
    loops, record = [new_loop_id() for _ in range(LOOPS)], Record()
    objects = await object_store(straight)
    await begin(Log(straight, objects, "/w"), loops)
    async with AsyncExitStack() as stack:
        buses = [
            await stack.enter_async_context(connected(mischief.proxy.url, timeout_s=0.3))
            for _ in range(writers)
        ]
        stop = asyncio.Event()
        trouble = asyncio.create_task(mischief.run(stop))
        chances = [random.Random(f"{report.seed}/{index}") for index in range(writers)]
        async with asyncio.TaskGroup() as group:
            for bus, chance in zip(buses, chances, strict=True):
                log = Log(bus, objects, "/w")
                group.create_task(compete(log, loops, record, appends, chance))
        stop.set()
        await trouble
    report.violations += await violations(straight, loops, record)
    report.acknowledged += len(record.acknowledged)
    report.conflicts += len(record.conflicts)
    report.unknown += len(record.unknown)
