"""A loop's log as it is stored: read from its beginning, and followed as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.js.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.chain import LoopEvent, decode_event, digest
from loopwright.direct import Stored, read_batch
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.ids import is_loop_id
from loopwright.objects import NatsObjects
from loopwright.payloads import check_out

#: A reader that hears of nothing looks again after this, in seconds.
LOOK_S = 0.25


class NotFoundError(LoopwrightError):
    """There is no such loop."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of a loop's log as it is stored."""

    event: LoopEvent
    seq: int
    body_digest: str


async def read(nc: Nats, loop: str, *, follow: bool) -> AsyncIterator[Recorded]:
    """A loop's log from its beginning; with `follow` on to its end, as it happens."""
    every = subjects.loop_events(checked(loop))
    objects = NatsObjects(await nc.jetstream().object_store(subjects.OBJECTS))
    last, start = await tip(nc, loop), 1
    async with _told_of(nc, every) as news:
        while follow or start <= last:
            for stored in await _from(nc, every, start, patient=follow):
                body = await check_out(stored.body, objects)
                recorded = Recorded(decode_event(body), stored.seq, digest(body))
                start = stored.seq + 1
                yield recorded
                if follow and recorded.event.data.kind == "loop_ended":
                    return  # an audit must see what follows an end
                news.set()  # there may be more
            await _heard(news)


async def _from(nc: Nats, pattern: str, seq: int, *, patient: bool) -> list[Stored]:
    try:
        return await read_batch(nc, subjects.LOOPS, pattern, seq)
    except BusUnavailableError:
        if not patient:
            raise
        return []  # whoever follows a loop goes on when the bus is back


@asynccontextmanager
async def _told_of(nc: Nats, pattern: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something is published."""
    news = asyncio.Event()

    async def published(_: Msg) -> None:
        news.set()

    subscription = await nc.subscribe(pattern, cb=published)
    try:
        yield news
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()


async def tip(nc: Nats, loop: str) -> int:
    """Stream sequence of a loop's newest event; 0 if there is none."""
    every = subjects.loop_events(checked(loop))
    try:
        stored = await nc.jetstream().get_msg(subjects.LOOPS, subject=every)
    except nats.js.errors.NotFoundError:
        return 0
    return stored.seq or 0


async def _heard(news: asyncio.Event) -> None:
    """Wait for news, or a while: what is heard of may be stored only after that."""
    try:
        await asyncio.wait_for(news.wait(), LOOK_S)
    except TimeoutError:
        return
    news.clear()


def checked(loop: str) -> str:
    """The id, if it is one; else NotFoundError."""
    if not is_loop_id(loop):
        raise NotFoundError(f"'{loop}' is no loop id; list them with: loopwright ls")
    return loop
