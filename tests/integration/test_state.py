"""Projections on a real bus and a real Valkey: the same bytes whatever happened on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from loopwright import subjects
from loopwright.ids import new_loop_id
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.testing import MemoryLog, model_goal
from loopwright_state.__main__ import connect
from loopwright_state.core import POSITION
from loopwright_state.projector import Projector, StateMetrics
from loopwright_state.queries import Queries
from loopwright_state.store import Store
from servers import Server, valkey_server
from table import Table
from waiting import until


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    with valkey_server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
async def store(valkey: Server) -> AsyncIterator[Store]:
    store = Store(connect(valkey.url))
    yield store
    await store.redis.aclose()


@asynccontextmanager
async def projecting(bus: Bus, objects: Objects, store: Store) -> AsyncIterator[Projector]:
    projector = Projector(bus, objects, store, StateMetrics(CollectorRegistry()))
    stop = asyncio.Event()
    task = asyncio.create_task(projector.run(stop))
    try:
        yield projector
    finally:
        stop.set()
        await task


class Stream:
    """Logs whose events stand interleaved in one stream, as coordinators would leave them."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.sequence, self.stored = bus, count(1), 0

    async def run(self, *verdicts: tuple[str, ...]) -> list[MemoryLog]:
        """One loop for each tuple of checks that pass, all of them to their end."""
        tables = [
            Table(model_goal(), log=MemoryLog(new_loop_id(), self.sequence)) for _ in verdicts
        ]
        for table in tables:
            table.begin()
        while any(table.loop.ended is None for table in tables):
            for table, passed in zip(tables, verdicts, strict=True):
                if table.loop.ended is None:
                    table.plan(), table.execute(), table.verdict(*passed)
        return [table.log for table in tables]

    async def store(self, *logs: MemoryLog) -> int:
        """Publish the events in their order; the last sequence."""
        events = [
            (seq, subjects.loop_event(log.loop_id, event.data.kind), body)
            for log in logs
            for seq, event, body in zip(log.seqs, log.events, log.bodies, strict=True)
        ]
        for seq, subject, body in sorted(events):
            assert (await self.bus.js.publish(subject, body)).seq == seq
            self.stored = seq
        return self.stored

    async def add(self, *verdicts: tuple[str, ...]) -> int:
        return await self.store(*await self.run(*verdicts))


BOTH, ONE, NONE = ("a", "b"), ("a",), ()


@pytest.fixture
def stream(bus: Bus) -> Stream:
    return Stream(bus)


async def dump(redis: Redis) -> dict[bytes, Any]:
    """Every key and value, byte for byte."""
    found: dict[bytes, Any] = {}
    async for key in redis.scan_iter(match="lw:*"):
        match await redis.type(key):
            case b"string":
                found[key] = await redis.get(key)
            case b"zset":
                found[key] = await redis.zrange(key, 0, -1, withscores=True)
            case _:
                found[key] = await redis.hgetall(key)
    return found


async def reached(projector: Projector, seq: int) -> None:
    async def there() -> bool:
        return projector.seq >= seq

    await until(there)


async def test_a_wiped_store_comes_back_byte_for_byte(
    bus: Bus, objects: Objects, store: Store, stream: Stream
) -> None:
    seq = await stream.add(BOTH, ONE, NONE)
    async with projecting(bus, objects, store) as projector:
        await reached(projector, seq)
        before = await dump(store.redis)
        await store.redis.flushall()

        async def equal() -> bool:
            return await dump(store.redis) == before

        await until(equal)
    assert len(before) > 10


async def test_two_projectors_give_the_bytes_of_one(
    bus: Bus, objects: Objects, store: Store, stream: Stream, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "second") as second:
        other = Store(connect(second.url))
        async with (
            projecting(bus, objects, store) as first,
            projecting(bus, objects, store),
            projecting(bus, objects, other) as alone,
        ):
            seq = await stream.add(*[ONE] * 20)
            await reached(alone, seq)

            async def same() -> bool:
                return await dump(store.redis) == await dump(other.redis)

            await until(same)
            assert first.bus is bus
        await other.redis.aclose()


async def test_an_old_copy_of_the_store_goes_on_from_where_it_was(
    bus: Bus, objects: Objects, store: Store, stream: Stream
) -> None:
    seq = await stream.add(BOTH)
    async with projecting(bus, objects, store) as projector:
        await reached(projector, seq)
    old = {key: await store.redis.dump(key) async for key in store.redis.scan_iter()}
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(ONE))
    new = await dump(store.redis)
    await store.redis.flushall()
    for key, value in old.items():
        assert value is not None
        await store.redis.restore(key, 0, value)
    async with projecting(bus, objects, store):

        async def caught_up() -> bool:
            return await dump(store.redis) == new

        await until(caught_up)


async def test_a_position_of_another_log_means_a_rebuild(
    bus: Bus, objects: Objects, store: Store, stream: Stream
) -> None:
    await store.redis.set(POSITION, json.dumps({"stream": "another", "seq": 3}))
    await store.redis.set("lw:view:stale", "{}")
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(BOTH))
        assert await store.redis.get("lw:view:stale") is None


async def test_a_killed_store_is_waited_for(
    bus: Bus, objects: Objects, store: Store, stream: Stream, valkey: Server
) -> None:
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(BOTH))
        valkey.kill()
        seq = await stream.add(BOTH)
        valkey.start()
        await reached(projector, seq)


async def test_a_loop_that_cannot_be_read_is_quarantined_alone(
    bus: Bus, objects: Objects, store: Store, stream: Stream
) -> None:
    broken, fine = await stream.run(BOTH, BOTH)
    broken.bodies[2] = broken.bodies[2].replace(b"shell", b"shall")
    seq = await stream.store(broken, fine)
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        await reached(projector, seq)
        answer = await ask(bus, subjects.QUERY_LOOP, {"loop": broken.loop_id})
        assert "cannot be read" in answer["error"]
        whole = await ask(bus, subjects.QUERY_LOOP, {"loop": fine.loop_id, "min_seq": seq})
        assert whole["view"]["outcome"] == "achieved"


async def ask(bus: Bus, subject: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads((await bus.nc.request(subject, data, timeout=5)).data)


async def test_queries_answer_and_refuse_in_sentences(
    bus: Bus, objects: Objects, store: Store, stream: Stream, valkey: Server
) -> None:
    ended, exhausted = await stream.run(BOTH, ONE)
    seq = await stream.store(ended, exhausted)
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        one = await ask(bus, subjects.QUERY_LOOP, {"loop": ended.loop_id, "min_seq": seq})
        assert one["view"]["seq"] <= seq
        ids = {ended.loop_id, exhausted.loop_id}
        every = await ask(bus, subjects.QUERY_LOOPS, {"limit": 10})
        assert {item["loop"] for item in every["loops"]} == ids
        assert (await ask(bus, subjects.QUERY_LOOPS, {"state": "planning"}))["loops"] == []
        assert len((await ask(bus, subjects.QUERY_LOOPS, {"tenant": "default"}))["loops"]) == 2
        unknown = await ask(bus, subjects.QUERY_LOOP, {"loop": new_loop_id()})
        assert unknown == {"view": None, "error": None}
        ahead = await ask(bus, subjects.QUERY_LOOP, {"loop": ended.loop_id, "min_seq": seq + 9})
        assert f"projected up to {seq}" in ahead["error"]
        assert "limit" in (await ask(bus, subjects.QUERY_LOOPS, {"limit": 0}))["error"]
        assert (await ask(bus, subjects.QUERY_LOOP, b"{"))["error"]
        valkey.kill()
        assert "Redis does not answer" in (await ask(bus, subjects.QUERY_LOOPS, {}))["error"]
        valkey.start()
