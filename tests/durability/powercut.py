"""The power is cut in the midst of appends: what was acknowledged is there, if and only if synced.

The control is the server's default, which writes down every two minutes: it must lose. Where it
loses nothing, the cut was none, and the run proves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from durability.connection import connected, end, object_store
from durability.kills import LOOK_S, LOOPS_EACH, TASKS, replicated
from durability.power import Disk, disk
from durability.writing import Acknowledged, Record, begin, compete, stored
from loopwright.audit import audit
from loopwright.ids import new_loop_id
from loopwright.service.bus import Bus
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare_when_up
from loopwright_coordinator.log import Log
from servers import Server, nats_cluster

#: A log that cannot be read whole within this is gone, as it may be in the control, in seconds.
READ_S = 60.0


@dataclass
class Report:
    """What the cuts came to."""

    seed: int
    replicas: int
    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    control_acknowledged: int = 0
    control_lost: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def cut_power(
    folder: Path, *, seed: int, cuts: int, acknowledged: int, replicas: int
) -> Report:
    """So many cuts of all servers at once with every write synced, and one with the default."""
    report, began = Report(seed, replicas), monotonic()
    for index in range(cuts):
        chance = random.Random(f"{seed}/{index}")
        wanted = chance.randint(acknowledged // 2, acknowledged)
        total, lost = await _one(folder / f"always-{index}", wanted, replicas, chance, sync=True)
        report.cuts += 1
        report.acknowledged += total
        report.lost += len(lost)
        report.violations += [f"cut {index}: {sentence}" for sentence in lost]
    chance = random.Random(f"{seed}/control")
    total, lost = await _one(folder / "default", acknowledged, replicas, chance, sync=False)
    report.control_acknowledged, report.control_lost = total, len(lost)
    if not lost:
        report.violations.append(
            f"not a test: the default lost none of {total} acknowledged appends either"
        )
    report.seconds = monotonic() - began
    return report


async def _one(
    folder: Path, wanted: int, replicas: int, chance: random.Random, *, sync: bool
) -> tuple[int, list[str]]:
    """How many appends were acknowledged before one cut, and which of them are lost."""
    record, loops = Record(), [new_loop_id() for _ in range(TASKS * LOOPS_EACH)]
    with ExitStack() as stack:
        disks = [
            stack.enter_context(disk(folder / f"{n}.img", folder / f"n{n}" / "js"))
            for n in range(replicas)
        ]
        servers = stack.enter_context(nats_cluster(folder, replicas, sync_always=sync))
        urls = [server.url for server in servers]
        async with connected(*urls, timeout_s=2.0) as bus:
            await declare_when_up(bus.js, ServiceSettings(), replicas)
            await begin(Log(bus, await object_store(bus), "/begin"), loops)
            for one in disks:
                one.flush()
            await _append_until_cut(bus, servers, disks, loops, record, wanted, chance)
        for one in disks:
            one.unmount()
            one.mount()
        for server in servers:
            server.launch()
        async with connected(*urls) as bus:
            return len(record.acknowledged), await _lost(bus, loops, record)


async def _append_until_cut(
    bus: Bus,
    servers: list[Server],
    disks: list[Disk],
    loops: list[str],
    record: Record,
    wanted: int,
    chance: random.Random,
) -> None:
    """Append from many tasks; when so many are acknowledged, the power goes."""
    objects = await object_store(bus)
    writers = [
        asyncio.create_task(
            compete(
                Log(bus, objects, f"/{index}"),
                loops[index::TASKS],
                record,
                wanted * 10,
                random.Random(chance.random()),
            )
        )
        for index in range(TASKS)
    ]
    try:
        while len(record.acknowledged) < wanted:
            await asyncio.sleep(LOOK_S)
        # The machine stops first, so that nothing is acknowledged after the cut; what it had not
        # written down by then is still in memory, and goes with the power.
        for server in servers:
            server.kill()
        for one in disks:
            one.cut()
    finally:
        with contextlib.suppress(Exception):  # nothing is to be waited for that is cut off
            await bus.nc.close()
        await end(writers)


async def _lost(bus: Bus, loops: list[str], record: Record) -> list[str]:
    """Appends that were acknowledged and are not at their place; a log that is gone holds none."""
    reading = asyncio.create_task(_read(bus, loops))
    await asyncio.wait([reading], timeout=READ_S)
    if reading.done() and not reading.exception():
        places, found = reading.result()
    else:
        places, found = set(), ["the log cannot be read any more"]
    await end([reading])
    return found + [
        f"append {tag} was acknowledged at {place} and is not there"
        for tag, place in record.acknowledged.items()
        if place not in places
    ]


async def _read(bus: Bus, loops: list[str]) -> tuple[set[Acknowledged], list[str]]:
    """Where every event is, and what an audit says."""
    await replicated(bus)
    places: set[Acknowledged] = set()
    found: list[str] = []
    for loop in loops:
        entries = await stored(bus, loop)
        found += [f"loop {loop}: {said}" for said in audit(entries)]
        places |= {Acknowledged(loop, e.event.n, e.seq, e.body_digest) for e in entries}
    return places, found
