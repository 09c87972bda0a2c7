"""The bus has used up its disk quota: it says so, loses nothing, and loops go on afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nats.js.errors
import pytest
from nats.js.api import StreamConfig

from line import Line
from loopwright import subjects
from loopwright.audit import Entry, audit
from loopwright.chain import decode_event, digest
from loopwright.client import Client
from loopwright.errors import BusUnavailableError
from loopwright.service.bus import Bus
from loopwright.service.step import Request
from loopwright.testing import playbook_goal
from servers import Server
from waiting import until

QUOTA = "2MB"
FILLER = "FILLER"


async def limit(server: Server, bus: Bus) -> None:
    """Give the server a small quota, as an operator does: in its configuration, by a new start."""
    dead = (await bus.js.stream_info(subjects.DEAD)).config
    dead.max_bytes = 64 * 1024  # else it has more than the quota reserved
    await bus.js.update_stream(dead)
    config = Path(server.argv[-1])
    text = config.read_text().replace("jetstream { ", f"jetstream {{ max_file_store: {QUOTA}, ")
    config.write_text(text)
    server.kill()
    server.start()

    async def answers() -> bool:
        try:
            return bool(await bus.js.stream_info(subjects.LOOPS))
        except (nats.js.errors.Error, TimeoutError):
            return False

    await until(answers)
    await bus.js.add_stream(StreamConfig(name=FILLER, subjects=["filler"]))


async def fill(bus: Bus) -> None:
    """Use all of it up, to the last message that the streams would store."""
    for size in (100_000, 1_000, 10):
        while True:
            try:
                await bus.js.publish("filler", b"x" * size)
            except nats.js.errors.APIError:
                break


async def faults(bus: Bus, loop: str) -> list[str]:
    stored = bus.read(subjects.LOOPS, subjects.loop_events(loop), 1)
    return audit(
        [Entry(decode_event(item.body), item.seq, digest(item.body)) async for item in stored]
    )


async def test_nothing_acknowledged_is_lost_callers_are_told_and_it_heals(
    nats_process: Server, bus: Bus, line: Line
) -> None:
    await limit(nats_process, bus)
    full = asyncio.Event()

    async def fill_it(_: Request[Any]) -> None:
        if not full.is_set():
            await fill(bus)
            full.set()

    line.script.before["executor"] = fill_it
    line.coordinator()
    await line.work()
    running = await line.start(playbook_goal())
    await until(full.wait)
    async with Client(nats_process.url) as client:
        with pytest.raises(BusUnavailableError, match=r"nothing was stored.*max_file_store"):
            await client.submit(playbook_goal())
        held = await line.log(running)
        assert [event.data.kind for event in held][-1] == "execution_requested"
        await bus.js.delete_stream(FILLER)
        assert (await line.events(running))[: len(held)] == held
        later = await client.submit(playbook_goal())
    ends = [(await line.events(loop))[-1].data for loop in (running, later)]
    assert [getattr(end, "outcome", None) for end in ends] == ["achieved", "achieved"]
    assert await faults(bus, running) == await faults(bus, later) == []
    assert line.script.calls.count("executor") == 2
