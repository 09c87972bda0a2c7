"""A service's cache of workspaces is kept below its size; what is in use stays."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from loopwright.workspace import Workspaces

log = structlog.get_logger()

#: Between two looks at the cache, in seconds; the first comes as much later than the start.
EVERY_S = 300.0


async def keep_small(
    workspaces: Workspaces, most_bytes: int, stop: asyncio.Event, *, every_s: float = EVERY_S
) -> None:
    """Drop the least recently used workspaces whenever there is more, until `stop`.

    A workspace that went comes back from the object store when it is wanted.
    """
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
            return
        try:
            gone = await workspaces.evict(most_bytes)
        except OSError as error:  # a folder that another process has just removed
            log.warning("the cache could not be tidied", error=str(error))
            continue
        if gone:
            log.info("workspaces left the cache", loops=gone, most_bytes=most_bytes)
