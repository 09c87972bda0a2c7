"""`loopwright verify-log` finds a log that is shorter than, or other than, what was projected."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from durability.connection import connected, object_store
from durability.honest import play, write
from durability.tampering import STOPS, Stop, block, cut, halt, publish
from installation import COMMAND
from loopwright import subjects
from loopwright.control import Cancel
from loopwright.service.bus import Bus, Stored
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from loopwright_coordinator.core import decide
from loopwright_coordinator.inputs import Append, ControlArrived
from loopwright_coordinator.log import Log
from loopwright_state.__main__ import connect
from loopwright_state.projector import Projector, StateMetrics
from loopwright_state.queries import Queries
from loopwright_state.store import Store
from servers import Server, nats_server, valkey_server
from waiting import until


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Server]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with valkey_server(tmp_path / "valkey") as valkey:
        store = Store(connect(valkey.url))
        yield store
        await store.redis.aclose()


@asynccontextmanager
async def state_service(server: Server, store: Store) -> AsyncIterator[Projector]:
    """The state service, up to date."""
    async with connected(server.url, timeout_s=2.0) as bus:
        metrics = StateMetrics(CollectorRegistry())
        projector = Projector(bus, await object_store(bus), store, metrics)
        await Queries(projector).listen()
        stop = asyncio.Event()
        task = asyncio.create_task(projector.run(stop))
        last = (await bus.js.stream_info(subjects.LOOPS)).state.last_seq

        async def there() -> bool:
            return projector.healthy and projector.seq >= last

        try:
            await until(there)
            yield projector
        finally:
            stop.set()
            await task


async def verify_log(server: Server, *words: str) -> dict[str, Any]:
    """What the command says."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "verify-log",
        *(words or ("--all",)),
        "--json",
        env={**os.environ, "LOOPWRIGHT_NATS_URL": server.url},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    found = dict(json.loads(said))
    assert process.returncode == (1 if found["violations"] else 0)
    return found


async def fill(bus: Bus) -> dict[str, Any]:
    """Three loops of nine events each."""
    await declare(bus.js, ServiceSettings())
    return dict(await write(Log(bus, await object_store(bus), "/w"), play(3)))


async def stored(bus: Bus) -> list[Stored]:
    return [item async for item in bus.read(subjects.LOOPS, "loop.>", 1)]


def lose_tail(nats: Server, tmp_path: Path, stop: Stop, message: Stored) -> None:
    """Stop the server, cut its block in the midst of an event, start it."""
    halt(nats) if stop == "stopped" else nats.kill()
    path = block(tmp_path / "nats" / "js")
    cut(path, path.read_bytes().index(message.body) + 50)
    nats.start()


async def test_a_log_that_was_projected_as_it_is_has_nothing_wrong(
    nats: Server, store: Store
) -> None:
    async with connected(nats.url) as bus:
        await fill(bus)
    async with state_service(nats, store):
        found = await verify_log(nats)
        assert (found["loops"], found["heads"], found["violations"]) == (3, 3, 0)


@pytest.mark.parametrize("stop", STOPS)
async def test_a_cut_tail_is_found_and_a_rebuild_does_not_hide_it(
    nats: Server, store: Store, tmp_path: Path, stop: Stop
) -> None:
    async with connected(nats.url) as bus:
        await fill(bus)
        messages = await stored(bus)
    async with state_service(nats, store):
        pass
    cut_loop = messages[-1].subject.split(".")[1]
    lose_tail(nats, tmp_path, stop, messages[-3])
    async with state_service(nats, store) as projector:
        # Without its index the server counts on from where the block ends.
        assert projector.metrics.rebuilds._value.get() == (1 if stop == "killed" else 0)
        found = await verify_log(nats)
        assert (found["loops"], found["violations"]) == (3, 1)
        assert found["found"][cut_loop] == [
            "event 8 was seen, the log ends with event 5: its end is cut off"
        ]
        one = await verify_log(nats, cut_loop)
        assert (one["heads"], one["violations"]) == (1, 1)


@pytest.mark.parametrize("stop", STOPS)
async def test_a_cut_log_that_went_on_to_its_old_length_is_found(
    nats: Server, store: Store, tmp_path: Path, stop: Stop
) -> None:
    async with connected(nats.url) as bus:
        await fill(bus)
        messages = await stored(bus)
    async with state_service(nats, store):
        pass
    lose_tail(nats, tmp_path, stop, messages[-1])
    async with connected(nats.url) as bus, state_service(nats, store):
        log = Log(bus, await object_store(bus), "/again")
        loop_id = messages[-1].subject.split(".")[1]
        loop = await log.load_tip(loop_id)
        assert loop is not None
        now = datetime.now(UTC)
        decision = decide(loop, ControlArrived(Cancel(id="cancel-01")), now, "nonce")
        assert isinstance(decision, Append)
        await log.append(loop, loop_id, decision.data, now=now, token=None, traceparent=None)
        found = (await verify_log(nats, loop_id))["found"][loop_id]
        assert any("the log was rewritten" in sentence for sentence in found)


async def test_a_forged_copy_of_the_stream_is_found_though_its_projections_are_built_anew(
    nats: Server, store: Store, tmp_path: Path
) -> None:
    async with connected(nats.url) as bus:
        await fill(bus)
        messages = await stored(bus)
    async with state_service(nats, store):
        pass
    with nats_server(tmp_path / "copy") as copy:
        await publish(copy, messages[:-1])
        async with state_service(copy, store):
            found = await verify_log(copy)
            assert found["violations"] == 1
            assert "its end is cut off" in found["found"][messages[-1].subject.split(".")[1]][0]


async def test_without_the_state_service_the_chain_is_checked_and_no_head(nats: Server) -> None:
    async with connected(nats.url) as bus:
        await fill(bus)
    found = await verify_log(nats)
    assert (found["loops"], found["heads"], found["violations"]) == (3, None, 0)
