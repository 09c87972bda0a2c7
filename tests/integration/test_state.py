"""Projections on a real bus and a real Valkey: the same bytes whatever happened on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

import nats.errors
import nats.js.errors
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from loopwright import subjects
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.ids import new_loop_id
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.testing import MemoryLog, model_goal
from loopwright_state.__main__ import connect
from loopwright_state.core import LAYOUT, POSITION, Writes, fold_key, view_key
from loopwright_state.projector import Projector, StateMetrics
from loopwright_state.queries import Queries
from loopwright_state.reader import Reader
from loopwright_state.store import CLEARING, Position, Store
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


async def stop_of(projector: Projector, work: Any) -> None:
    """Run `projector` until `work` is done."""
    stop = asyncio.Event()
    task = asyncio.create_task(projector.run(stop))
    await work
    stop.set()
    await task


def fresh(bus: Bus, objects: Objects, store: Store) -> Projector:
    return Projector(bus, objects, store, StateMetrics(CollectorRegistry()))


def value(metric: Any) -> float:
    return float(metric._value.get())


async def test_a_replica_that_was_beaten_quarantines_nothing_and_stays_ready(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    async with (
        projecting(bus, objects, store) as first,
        projecting(bus, objects, store) as second,
    ):
        both = (first, second)
        for _ in range(30):
            seq = await stream.add(ONE)
            await asyncio.gather(*(reached(replica, seq) for replica in both))
            assert first.healthy
            assert second.healthy
        assert await store.quarantined() == 0
        assert sum(value(replica.metrics.conflicts) for replica in both) > 0


async def test_folds_of_another_position_are_not_folded_on(
    bus: Bus, objects: Objects, store: Store
) -> None:
    await store.redis.set(POSITION, Position("log", 7).encode())
    projector = fresh(bus, objects, store)
    assert await projector._begun(Position("log", 6), [new_loop_id()]) is None
    assert await projector._begun(Position("log", 7), [new_loop_id()]) is not None


async def test_a_damaged_fold_stops_its_loop_only(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    damaged, fine = await stream.run(ONE, BOTH)
    kind = damaged.events[-1].data.kind
    body, last = damaged.bodies.pop(), damaged.seqs.pop()
    seq = await stream.store(damaged, fine)
    async with projecting(bus, objects, store) as projector:
        await reached(projector, seq)
    await store.redis.set(fold_key(damaged.loop_id), "{}")
    await bus.js.publish(subjects.loop_event(damaged.loop_id, kind), body)
    again = fresh(bus, objects, store)
    await stop_of(again, reached(again, last))
    assert (await store.snapshot(damaged.loop_id)).quarantined is not None
    assert (await store.snapshot(fine.loop_id)).quarantined is None


async def test_a_restart_goes_on_and_builds_nothing_anew(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(ONE))
    again = fresh(bus, objects, store)
    await stop_of(again, reached(again, await store_seq(store)))
    assert value(again.metrics.rebuilds) == 0


async def store_seq(store: Store) -> int:
    return (await store.position()).seq


class LateInfo:
    """The stream as it was, told only after another replica has projected a newer event."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self.bus, self.store = bus, store

    async def stream_info(self, name: str) -> Any:
        info = await self.bus.js.stream_info(name)
        position = await self.store.position()
        newer = position.at(info.state.last_seq + 1)
        assert await self.store.apply(position, newer, Writes())
        return info


async def test_a_position_that_moves_while_the_stream_is_asked_is_no_other_log(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(ONE))
    slow = Bus(bus.nc)
    slow.js = cast(Any, LateInfo(bus, store))
    late = fresh(slow, objects, store)
    assert await late._begin() is not None
    assert value(late.metrics.rebuilds) == 0


async def test_a_rebuild_deletes_nothing_that_came_after_it(store: Store) -> None:
    stale, log = Position("old", 9), Position("new")
    await store.redis.set(POSITION, stale.encode())
    await store.redis.set("lw:view:stale", "{}")
    assert await store.clear(stale, log)
    assert await store.apply(log, log.at(1), Writes(values={"lw:view:new": "{}"}))
    assert not await store.clear(stale, log)
    assert not await store._delete(log.at(CLEARING), [b"lw:view:new"])
    assert set(await dump(store.redis)) == {POSITION.encode(), b"lw:view:new"}


async def test_a_rebuild_that_was_cut_off_is_finished_by_another(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    seq = await stream.add(ONE)
    info = await bus.js.stream_info(subjects.LOOPS)
    await store.redis.set(POSITION, Position(str(info.created), CLEARING).encode())
    await store.redis.set("lw:view:stale", "{}")
    async with projecting(bus, objects, store) as projector:
        await reached(projector, seq)
        assert await store.redis.get("lw:view:stale") is None


async def test_projections_of_a_newer_version_are_left_alone(
    bus: Bus, objects: Objects, store: Store
) -> None:
    info = await bus.js.stream_info(subjects.LOOPS)
    newer = Position(str(info.created), 0, LAYOUT + 1)
    await store.redis.set(POSITION, newer.encode())
    projector = fresh(bus, objects, store)
    with pytest.raises(LoopwrightError, match="replace it"):
        await projector._begin()
    assert await store.position() == newer


async def test_projections_in_an_older_form_are_built_anew(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    info = await bus.js.stream_info(subjects.LOOPS)
    await store.redis.set(POSITION, Position(str(info.created), 0, LAYOUT - 1).encode())
    await store.redis.set("lw:view:stale", "{}")
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(ONE))
        assert await store.redis.get("lw:view:stale") is None


async def test_a_killed_store_comes_back_to_the_bytes_of_a_rebuild(
    bus: Bus, stream: Stream, objects: Objects, store: Store, valkey: Server
) -> None:
    async with projecting(bus, objects, store) as projector:
        for _ in range(3):
            writing = asyncio.create_task(stream.add(ONE, BOTH))
            valkey.kill()
            valkey.start()
            await reached(projector, await writing)
        before = await dump(store.redis)
        await store.redis.flushall()

        async def equal() -> bool:
            return await dump(store.redis) == before

        await until(equal)


async def test_a_killed_bus_is_waited_for(
    bus: Bus, stream: Stream, objects: Objects, store: Store, nats_process: Server
) -> None:
    async with projecting(bus, objects, store) as projector:
        await reached(projector, await stream.add(ONE))
        nats_process.kill()
        nats_process.start()

        async def back() -> bool:
            try:
                return bool(await bus.js.stream_info(subjects.LOOPS))
            except (nats.errors.Error, nats.js.errors.Error):
                return False

        await until(back)
        await reached(projector, await stream.add(ONE))
        assert await store.quarantined() == 0


async def test_a_reader_notices_that_the_log_was_replaced(bus: Bus) -> None:
    await bus.js.publish("loop.x.y", b"{}")
    reader = Reader(bus, 1, "another time")
    assert [stored.seq for stored in await reader.batch()] == [1]
    with pytest.raises(BusUnavailableError, match="the log was replaced by another"):
        await reader.batch()


async def test_a_reader_notices_that_the_log_lost_its_end(bus: Bus) -> None:
    await bus.js.publish("loop.x.y", b"{}")
    created = str((await bus.js.stream_info(subjects.LOOPS)).created)
    reader = Reader(bus, 3, created)
    with pytest.raises(BusUnavailableError, match="the log ends at 1, 2 was read"):
        await reader.batch()


async def test_an_event_without_its_payload_stops_its_loop_only(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    lost = new_loop_id()
    stub = json.dumps({"dataref": "0" * 64}, separators=(",", ":")).encode()
    next(stream.sequence)
    await bus.js.publish(subjects.loop_event(lost, "loop_admitted"), stub)
    seq = await stream.add(ONE)
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        await reached(projector, seq)
        assert "object store" in (await ask(bus, subjects.QUERY_LOOP, {"loop": lost}))["error"]
        assert value(projector.metrics.quarantined) == 1


async def test_a_query_waits_for_its_own_write(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        await reached(projector, await stream.add(ONE))
        (log,) = await stream.run(ONE)
        wanted = {"loop": log.loop_id, "min_seq": log.seqs[-1]}
        query = asyncio.create_task(ask(bus, subjects.QUERY_LOOP, wanted))
        await stream.store(log)
        assert (await query)["view"]["n"] == len(log.bodies) - 1


async def test_a_wiped_store_is_not_taken_for_an_unknown_loop(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    (log,) = await stream.run(ONE)
    async with projecting(bus, objects, store) as projector:
        seq = await stream.store(log)
        await reached(projector, seq)
    await store.redis.flushall()
    await Queries(projector).listen()
    answer = await ask(bus, subjects.QUERY_LOOP, {"loop": log.loop_id, "min_seq": seq})
    assert "projected up to 0" in answer["error"]


async def test_a_query_that_waits_holds_up_no_other(
    bus: Bus, objects: Objects, store: Store
) -> None:
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        far = {"loop": new_loop_id(), "min_seq": 99}
        waiting = [asyncio.create_task(ask(bus, subjects.QUERY_LOOP, far)) for _ in range(5)]
        await ask(bus, subjects.QUERY_LOOP, {"loop": new_loop_id()})
        assert not any(task.done() for task in waiting)
        answers = await asyncio.gather(*waiting)
        assert all("99 is wanted" in answer["error"] for answer in answers)


async def test_a_list_by_tenant_and_state_is_whole(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    mine = MemoryLog(new_loop_id(), stream.sequence)
    mine.admit(model_goal(), tenant="mine")
    await stream.store(mine)
    seq = await stream.add(ONE, ONE, ONE)
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        await reached(projector, seq)
        query = {"tenant": "mine", "state": "admitted", "limit": 1}
        answer = await ask(bus, subjects.QUERY_LOOPS, query)
        assert [item["loop"] for item in answer["loops"]] == [mine.loop_id]
        ended = await ask(bus, subjects.QUERY_LOOPS, {"tenant": "mine", "state": "ended"})
        assert ended["loops"] == []


async def test_an_answer_never_outgrows_a_message(
    bus: Bus, stream: Stream, objects: Objects, store: Store
) -> None:
    logs = [MemoryLog(new_loop_id(), stream.sequence) for _ in range(60)]
    for log in logs:
        log.admit(model_goal(objective="x" * 20_000))
    seq = await stream.store(*logs)
    async with projecting(bus, objects, store) as projector:
        await Queries(projector).listen()
        await reached(projector, seq)
        answer = await ask(bus, subjects.QUERY_LOOPS, {"limit": 500})
        assert len(answer["loops"]) + answer["left_off"] == 60
        assert answer["left_off"] > 0
        large = json.dumps({"objective": "x" * 2_000_000})
        await store.redis.set(view_key(logs[0].loop_id), large)
        one = await ask(bus, subjects.QUERY_LOOP, {"loop": logs[0].loop_id})
        assert "fit into a message" in one["error"]
