"""Standing requests on a real bus: never more at once than there is room for, nothing forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.errors import BusUnavailableError
from loopwright.service.bus import Bus
from loopwright.service.consumers import COORDINATOR
from loopwright.service.pull import Pull
from servers import Server
from waiting import until

LOOP = "01JQZZZZZZZZZZZZZZZZZZZZZZ"


@asynccontextmanager
async def pulling(
    bus: Bus, handle: Callable[[Msg], Awaitable[None]], most: int
) -> AsyncIterator[Pull]:
    stop = asyncio.Event()
    pull = Pull(bus.nc, subjects.CONTROL, COORDINATOR, handle, most)
    task = asyncio.create_task(pull.run(stop))
    try:
        yield pull
    finally:
        stop.set()
        await task


async def put(bus: Bus, *bodies: str) -> None:
    for body in bodies:
        await bus.publish(subjects.control(LOOP), body.encode(), stream=subjects.CONTROL)


async def test_all_messages_are_handled_and_never_more_than_may_be_at_once(bus: Bus) -> None:
    done: list[str] = []
    running, most = 0, 0

    async def handle(message: Msg) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        done.append(message.data.decode())
        await message.ack()

    async def all_done() -> bool:
        return len(done) >= 60

    async with pulling(bus, handle, 4):
        await put(bus, *map(str, range(60)))
        await until(all_done)
    assert sorted(done, key=int) == [str(number) for number in range(60)]
    assert 1 <= most <= 4


async def test_a_message_for_which_there_is_no_room_is_given_back(bus: Bus) -> None:
    begun: dict[str, int] = {}
    release = asyncio.Event()

    async def handle(message: Msg) -> None:
        begun[message.data.decode()] = message.metadata.num_delivered or 0
        await release.wait()
        await message.ack()

    async def first() -> bool:
        return "a" in begun

    async def given_back() -> bool:
        assert "b" not in begun
        info = await bus.js.consumer_info(subjects.CONTROL, COORDINATOR)
        return bool(info.num_redelivered)

    async def second() -> bool:
        return "b" in begun

    async with pulling(bus, handle, 1) as pull:
        await put(bus, "a")
        await until(first)
        ask = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.CONTROL}.{COORDINATOR}"
        for _ in range(2):  # requests that were taken for lost
            await bus.nc.publish(ask, b'{"batch":1,"expires":60000000000}', reply=pull._inbox)
        await put(bus, "b")
        try:
            await until(given_back)
        finally:
            release.set()
        await until(second)
    assert begun["a"] == 1
    assert begun["b"] > 1


async def test_it_goes_on_after_the_bus_was_killed(bus: Bus, nats_process: Server) -> None:
    done: set[str] = set()

    async def handle(message: Msg) -> None:
        done.add(message.data.decode())
        await message.ack()

    async with pulling(bus, handle, 4):
        for word in ("before", "between", "after"):

            async def stored(word: str = word) -> bool:
                try:
                    await put(bus, word)
                except BusUnavailableError:
                    return False
                return True

            async def heard(word: str = word) -> bool:
                return word in done

            await until(stored)
            await until(heard)
            if word != "after":
                nats_process.kill()
                nats_process.start()


async def test_a_handler_that_fails_stops_nobody(bus: Bus) -> None:
    done: list[str] = []

    async def handle(message: Msg) -> None:
        await message.ack()
        if message.data == b"bad":
            raise RuntimeError("it fails")
        done.append(message.data.decode())

    async def good() -> bool:
        return done == ["good"]

    async with pulling(bus, handle, 1):
        await put(bus, "bad", "good")
        await until(good)
