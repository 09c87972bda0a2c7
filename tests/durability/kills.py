"""Appends while the bus is killed again and again: what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import nats.js.errors

from durability.connection import connected, object_store
from durability.writing import Record, begin, compete, violations
from loopwright import subjects
from loopwright.ids import new_loop_id
from loopwright.service.bus import Bus
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare_when_up
from loopwright_coordinator.log import Log
from servers import Server, nats_cluster

#: Writers, and the loops that each of them has to itself.
TASKS = 8
LOOPS_EACH = 25
#: Between two looks at how many appends are acknowledged, in seconds.
LOOK_S = 0.01
#: Every server is up again long before.
STALLED_S = 60.0


@dataclass
class Report:
    """What a run came to."""

    seed: int
    replicas: int
    kills: int = 0
    acknowledged: int = 0
    conflicts: int = 0
    unknown: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def append_through_kills(
    folder: Path,
    *,
    seed: int,
    kills: int,
    acknowledged: int,
    replicas: int = 1,
    sync_always: bool = False,
) -> Report:
    """Kill a server at even steps of the work; then compare the log with what was acknowledged."""
    report, record, began = Report(seed, replicas), Record(), monotonic()
    loops = [new_loop_id() for _ in range(TASKS * LOOPS_EACH)]
    with nats_cluster(folder, replicas, sync_always=sync_always) as servers:
        async with connected(*(server.url for server in servers), timeout_s=2.0) as bus:
            await declare_when_up(bus.js, ServiceSettings(), replicas)
            objects = await object_store(bus)
            await begin(Log(bus, objects, "/begin"), loops)
            async with asyncio.TaskGroup() as group:
                group.create_task(_watch(record, acknowledged))
                group.create_task(_kill(servers, record, report, kills, acknowledged))
                for index in range(TASKS):
                    log, mine = Log(bus, objects, f"/{index}"), loops[index::TASKS]
                    chance = random.Random(f"{seed}/{index}")
                    group.create_task(compete(log, mine, record, acknowledged, chance))
            await replicated(bus)
            report.violations = await violations(bus, loops, record)
    report.acknowledged = len(record.acknowledged)
    report.conflicts, report.unknown = len(record.conflicts), len(record.unknown)
    report.seconds = monotonic() - began
    return report


async def _watch(record: Record, acknowledged: int) -> None:
    """Fail where nothing is acknowledged any more: the log itself is gone."""
    seen, since = -1, monotonic()
    while seen < acknowledged:
        if len(record.acknowledged) != seen:
            seen, since = len(record.acknowledged), monotonic()
        elif monotonic() - since > STALLED_S:
            raise RuntimeError(f"{seen} appends are acknowledged, and no other in {STALLED_S} s")
        await asyncio.sleep(LOOK_S)


async def _kill(
    servers: list[Server], record: Record, report: Report, kills: int, acknowledged: int
) -> None:
    """`kill -9` one in the midst of the work, and a new start on the same data."""
    chance = random.Random(report.seed)
    for index in range(kills):
        while len(record.acknowledged) < acknowledged * (index + 0.5) / kills:
            await asyncio.sleep(LOOK_S)
        server = chance.choice(servers)
        await asyncio.to_thread(server.kill)
        report.kills += 1
        await asyncio.to_thread(server.start)


async def replicated(bus: Bus) -> None:
    """Wait until every server has all of the log: any of them may be the one that is read."""
    while True:
        with contextlib.suppress(TimeoutError, nats.js.errors.APIError):
            cluster = (await bus.js.stream_info(subjects.LOOPS)).cluster
            others = (cluster.replicas or []) if cluster is not None else []
            if all(peer.current and not peer.lag for peer in others):
                return
        await asyncio.sleep(LOOK_S)
