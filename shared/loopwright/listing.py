"""Which subjects a stream holds, however many: the server answers in pages."""

from __future__ import annotations

import json
from typing import Any

import nats.errors
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.errors import BusUnavailableError

#: How long one page is waited for, in seconds.
PAGE_S = 10.0


async def subjects_of(nc: Nats, stream: str, pattern: str) -> dict[str, int]:
    """The subjects of a stream that match a pattern, with how many messages each has."""
    found: dict[str, int] = {}
    while True:
        page = await _page(nc, stream, pattern, len(found))
        held: dict[str, int] = page["state"].get("subjects") or {}
        found |= held
        if not held or len(found) >= int(page.get("total", 0)):
            return found


async def _page(nc: Nats, stream: str, pattern: str, offset: int) -> dict[str, Any]:
    request = json.dumps({"subjects_filter": pattern, "offset": offset}).encode()
    try:
        answer = await nc.request(f"$JS.API.STREAM.INFO.{stream}", request, timeout=PAGE_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailableError(f"{stream}: its subjects cannot be listed") from error
    page: dict[str, Any] = json.loads(answer.data)
    if "error" in page:
        raise BusUnavailableError(f"{stream}: {page['error'].get('description')}")
    return page


async def admitted_loops(nc: Nats) -> set[str]:
    """Ids of every loop that the log holds the beginning of."""
    return await _loops(nc, "loop_admitted")


async def open_loops(nc: Nats) -> set[str]:
    """Ids of every loop that has not ended."""
    # In this order: a loop that ends in between is taken for open, and nothing follows from that.
    ended = await _loops(nc, "loop_ended")
    return await admitted_loops(nc) - ended


async def _loops(nc: Nats, kind: str) -> set[str]:
    held = await subjects_of(nc, subjects.LOOPS, subjects.loop_event("*", kind))
    return {subject.split(".")[1] for subject in held}
