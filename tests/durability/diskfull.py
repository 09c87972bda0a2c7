"""The disk is full in the midst of appends: nothing acknowledged is lost, and it heals.

The server believes that it may use more than there is, which no configuration of ours says. It then
stops answering writes, and space that is free again does not wake it: it is started anew, as its
liveness probe does.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from durability.connection import connected, end, object_store
from durability.kills import LOOK_S, LOOPS_EACH, TASKS
from durability.power import Disk, disk
from durability.writing import Record, begin, compete, violations
from loopwright.ids import new_loop_id
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare_when_up
from loopwright_coordinator.log import Log
from servers import Server, nats_server

DISK_BYTES = 64 * 1024**2
#: What the server believes that it may use.
QUOTA = "8GB"
#: So many writers, and no append was acknowledged for this long: the server feels it.
STILL_S = 2.0
#: A server that wakes by itself does so within this; then it is started anew.
HEALS_S = 5.0


@dataclass
class Report:
    """What a run came to."""

    seed: int
    fills: int = 0
    unhealthy: int = 0
    """Fills during which the server's own health page said so."""
    restarts: int = 0
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def fill_disk(folder: Path, *, seed: int, fills: int, acknowledged: int) -> Report:
    """Fill the disk at even steps of the work, free it, and compare the log in the end."""
    report, record, began = Report(seed), Record(), monotonic()
    loops = [new_loop_id() for _ in range(TASKS * LOOPS_EACH)]
    with (
        disk(folder / "disk.img", folder / "nats" / "js", DISK_BYTES) as small,
        nats_server(folder / "nats", sync_always=True, quota=QUOTA) as server,
    ):
        async with connected(server.url, timeout_s=1.0) as bus:
            await declare_when_up(bus.js, ServiceSettings())
            objects = await object_store(bus)
            await begin(Log(bus, objects, "/begin"), loops)
            writers = [
                asyncio.create_task(
                    compete(
                        Log(bus, objects, f"/{index}"),
                        loops[index::TASKS],
                        record,
                        acknowledged,
                        random.Random(f"{seed}/{index}"),
                    )
                )
                for index in range(TASKS)
            ]
            try:
                for index in range(fills):
                    await _reached(record, acknowledged * (index + 1) // (fills + 1))
                    await _fill_and_free(small, server, record, report)
                await asyncio.gather(*writers)
            finally:
                await end(writers)
            report.violations = await violations(bus, loops, record)
    if report.unhealthy == 0:
        report.violations.append("not a test: the server never said that it is ill")
    report.acknowledged = len(record.acknowledged)
    report.seconds = monotonic() - began
    return report


async def _reached(record: Record, count: int) -> None:
    while len(record.acknowledged) < count:
        await asyncio.sleep(LOOK_S)


async def _fill_and_free(small: Disk, server: Server, record: Record, report: Report) -> None:
    """Fill it until nothing is acknowledged any more; free it, and see it heal."""
    ballast = small.folder / "ballast"
    _fill(ballast)
    report.fills += 1
    while not await _still(record):
        _fill(ballast)  # of what the server has freed meanwhile
    report.unhealthy += not await asyncio.to_thread(server.is_up)
    ballast.unlink()
    count, until = len(record.acknowledged), monotonic() + HEALS_S
    while len(record.acknowledged) == count:
        if monotonic() > until:
            await asyncio.to_thread(_restart, server)
            report.restarts += 1
            until = monotonic() + 10 * HEALS_S
        await asyncio.sleep(LOOK_S)


def _restart(server: Server) -> None:
    server.kill()
    server.start()


async def _still(record: Record) -> bool:
    count = len(record.acknowledged)
    await asyncio.sleep(STILL_S)
    return len(record.acknowledged) == count


def _fill(ballast: Path) -> None:
    """Write until there is no room for another byte."""
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (1024**2, 4096, 1):
            while True:
                try:
                    os.write(handle, b"x" * size)
                except OSError:
                    break
    finally:
        os.close(handle)
