"""Appends while the bus is killed again and again: what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from durability.connection import connected, object_store
from durability.writing import Record, begin, compete, violations
from loopwright.ids import new_loop_id
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from loopwright_coordinator.log import Log
from servers import Server, nats_server

#: Writers, and the loops that each of them has to itself.
TASKS = 8
LOOPS_EACH = 25
#: Between two looks at how many appends are acknowledged, in seconds.
LOOK_S = 0.01


@dataclass
class Report:
    """What a run came to."""

    seed: int
    kills: int = 0
    acknowledged: int = 0
    conflicts: int = 0
    unknown: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def append_through_kills(
    folder: Path, *, seed: int, kills: int, acknowledged: int, sync_always: bool = False
) -> Report:
    """Kill the bus at even steps of the work; then compare its log with what it acknowledged."""
    report, record, began = Report(seed), Record(), monotonic()
    loops = [new_loop_id() for _ in range(TASKS * LOOPS_EACH)]
    with nats_server(folder, sync_always=sync_always) as server:
        async with connected(server.url, timeout_s=2.0) as bus:
            await declare(bus.js, ServiceSettings())
            objects = await object_store(bus)
            await begin(Log(bus, objects, "/begin"), loops)
            async with asyncio.TaskGroup() as group:
                group.create_task(_kill(server, record, report, kills, acknowledged))
                for index in range(TASKS):
                    log, mine = Log(bus, objects, f"/{index}"), loops[index::TASKS]
                    chance = random.Random(f"{seed}/{index}")
                    group.create_task(compete(log, mine, record, acknowledged, chance))
            report.violations = await violations(bus, loops, record)
    report.acknowledged = len(record.acknowledged)
    report.conflicts, report.unknown = len(record.conflicts), len(record.unknown)
    report.seconds = monotonic() - began
    return report


async def _kill(
    server: Server, record: Record, report: Report, kills: int, acknowledged: int
) -> None:
    """`kill -9` in the midst of the work, and a new start on the same data."""
    for index in range(kills):
        while len(record.acknowledged) < acknowledged * (index + 0.5) / kills:
            await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(server.kill)
        report.kills += 1
        await asyncio.to_thread(server.start)
