"""Objects on a real JetStream server, and in memory: the same promises."""

from __future__ import annotations

import asyncio
import os

import nats.errors
import nats.js.errors
import pytest
from nats.js.object_store import ObjectStore

from loopwright import subjects
from loopwright.errors import BusUnavailableError
from loopwright.objects import (
    MemoryObjects,
    NatsObjects,
    ObjectDamagedError,
    ObjectMissingError,
    Objects,
    check_in,
    digest_of,
    is_digest,
    redeem,
)
from loopwright.service.bus import Bus


@pytest.fixture
async def store(bus: Bus) -> ObjectStore:
    return await bus.js.object_store(subjects.OBJECTS)


@pytest.fixture(params=["memory", "nats"])
def kept(request: pytest.FixtureRequest) -> Objects:
    """Each kind of store; the server starts only for the one that needs it."""
    if request.param == "memory":
        return MemoryObjects()
    return NatsObjects(request.getfixturevalue("store"))


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 3 * 1024 * 1024 + 17])
async def test_what_is_put_is_got(store: ObjectStore, size: int) -> None:
    data = os.urandom(size)
    for kept in (MemoryObjects(), NatsObjects(store)):
        await kept.put("a/b c\n", data, meta={"parent": "", "é": "ü"})
        assert await kept.get("a/b c\n") == data
        assert await kept.info("a/b c\n") == {"parent": "", "é": "ü"}
        assert await kept.exists("a/b c\n")


async def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    for kept in (MemoryObjects(), NatsObjects(store)):
        assert not await kept.exists("x")
        for question in (kept.get, kept.info):
            with pytest.raises(ObjectMissingError, match="object x is not in the object store"):
                await question("x")


async def test_a_repetition_stores_nothing_more(store: ObjectStore, bus: Bus) -> None:
    objects = NatsObjects(store)
    data = os.urandom(300_000)
    await objects.put("x", data, meta={"a": "1"})
    before = (await bus.js.stream_info(f"OBJ_{subjects.OBJECTS}")).state
    await objects.put("x", data, meta={"a": "1"})
    after = (await bus.js.stream_info(f"OBJ_{subjects.OBJECTS}")).state
    assert (after.messages, after.last_seq) == (before.messages, before.last_seq)


async def test_another_content_or_meta_takes_the_place_of_the_old(store: ObjectStore) -> None:
    for kept in (MemoryObjects(), NatsObjects(store)):
        await kept.put("x", b"one", meta={"a": "1"})
        await kept.put("x", b"one", meta={"a": "2"})
        assert await kept.info("x") == {"a": "2"}
        await kept.put("x", b"two")
        assert (await kept.get("x"), await kept.info("x")) == (b"two", {})


async def test_an_entry_without_chunks_is_no_content_and_is_mended(
    store: ObjectStore, bus: Bus
) -> None:
    """A writer that gave up between its chunks and its entry leaves this behind."""
    objects = NatsObjects(store, attempts=2, backoff_s=0.01, read_s=0.2)
    await objects.put("x", b"content")
    info = await store.get_info("x")
    await bus.js.purge_stream(
        f"OBJ_{subjects.OBJECTS}", subject=f"$O.{subjects.OBJECTS}.C.{info.nuid}"
    )
    with pytest.raises(BusUnavailableError, match="did not answer 2 times"):
        await objects.get("x")
    await objects.put("x", b"content")
    assert await objects.get("x") == b"content"


async def test_damaged_chunks_are_noticed(store: ObjectStore, bus: Bus) -> None:
    objects = NatsObjects(store)
    await objects.put("x", b"content")
    subject = f"$O.{subjects.OBJECTS}.C.{(await store.get_info('x')).nuid}"
    await bus.js.purge_stream(f"OBJ_{subjects.OBJECTS}", subject=subject)
    await bus.js.publish(subject, b"kontent")
    with pytest.raises(ObjectDamagedError, match="put it again"):
        await objects.get("x")


class Flaky:
    """A store that does not answer the first times."""

    def __init__(self, store: ObjectStore, errors: list[Exception]) -> None:
        self._store = store
        self._errors = errors

    def __getattr__(self, name: str) -> object:
        if self._errors:
            raise self._errors.pop(0)
        return getattr(self._store, name)


@pytest.mark.parametrize(
    "error", [nats.errors.TimeoutError(), nats.js.errors.ServiceUnavailableError(), TimeoutError()]
)
async def test_a_request_without_an_answer_is_repeated(
    store: ObjectStore, error: Exception
) -> None:
    flaky = NatsObjects(Flaky(store, [error, error]), backoff_s=0.001)  # type: ignore[arg-type]
    await flaky.put("x", b"1")
    assert await NatsObjects(store).get("x") == b"1"


async def test_a_store_that_never_answers_is_unavailable(store: ObjectStore) -> None:
    errors: list[Exception] = [nats.errors.TimeoutError() for _ in range(9)]
    flaky = NatsObjects(Flaky(store, errors), attempts=3, backoff_s=0.001)  # type: ignore[arg-type]
    with pytest.raises(BusUnavailableError, match="did not answer 3 times"):
        await flaky.get("x")
    assert len(errors) == 6


async def test_a_closed_connection_is_unavailable_at_once(store: ObjectStore, bus: Bus) -> None:
    await bus.nc.close()
    with pytest.raises(BusUnavailableError):
        await NatsObjects(store).get("x")


async def test_many_write_the_same_name_and_all_read_it(store: ObjectStore) -> None:
    objects = NatsObjects(store, read_s=1.0)
    data = os.urandom(200_000)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(objects.put("x", data))
    assert await objects.get("x") == data


async def test_a_claim_check_is_redeemed(kept: Objects) -> None:
    digest = await check_in(kept, b"large")
    assert digest == digest_of(b"large")
    assert is_digest(digest)
    assert not is_digest(digest + "\n")
    assert await redeem(kept, digest) == b"large"


async def test_a_claim_check_for_another_content_is_not_redeemed() -> None:
    objects = MemoryObjects()
    await objects.put(digest_of(b"this"), b"that")
    with pytest.raises(ObjectDamagedError):
        await redeem(objects, digest_of(b"this"))
