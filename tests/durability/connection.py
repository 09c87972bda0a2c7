"""Connections of writers that go on through every outage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any

import nats

from loopwright import subjects
from loopwright.objects import NatsObjects, Objects
from loopwright.service.bus import Bus


@contextlib.asynccontextmanager
async def connected(*urls: str, timeout_s: float = 5.0) -> AsyncIterator[Bus]:
    """A bus connection that never gives up and says nothing about its troubles."""

    async def quiet(_: Exception) -> None:
        """The appends are judged by the log."""

    nc = await nats.connect(
        list(urls),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.02,
        connect_timeout=1,
        ping_interval=1,
        error_cb=quiet,
    )
    try:
        yield Bus(nc, timeout_s=timeout_s)
    finally:
        # Cut while it said goodbye, or while it reconnected: then nats-py ends with whatever came.
        (closing,), _ = await asyncio.wait([asyncio.ensure_future(nc.close())])
        if not closing.cancelled():
            closing.exception()


async def object_store(bus: Bus) -> Objects:
    """The installation's objects."""
    return NatsObjects(await bus.js.object_store(subjects.OBJECTS))


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: nats-py may take a cancellation for a time-out."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
    await asyncio.gather(*tasks, return_exceptions=True)
