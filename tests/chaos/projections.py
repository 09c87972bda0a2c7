"""What is in the store, byte for byte, and what a fresh fold of the log says should be."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from redis.asyncio import Redis

from loopwright.audit import Entry
from loopwright.loop import Loop
from loopwright_state.core import (
    PREFIX,
    fold_key,
    iterations_key,
    project,
    spend_key,
    view_key,
)

Dump = dict[bytes, Any]


async def dump(redis: Redis) -> Dump:
    """Every key and value."""
    found: Dump = {}
    async for key in redis.scan_iter(match=f"{PREFIX}*", count=1000):
        match await redis.type(key):
            case b"string":
                found[key] = await redis.get(key)
            case b"zset":
                found[key] = await redis.zrange(key, 0, -1, withscores=True)
            case _:
                found[key] = await redis.hgetall(key)
    return found


async def ended_views(redis: Redis, loops: Collection[str]) -> list[str]:
    """Those of the loops whose end has been projected: nothing of theirs changes any more."""
    found = []
    for loop in sorted(loops):
        view = await redis.get(view_key(loop))
        if view is not None and json.loads(view).get("outcome"):
            found.append(loop)
    return found


def of_loops(found: Dump, loops: Collection[str]) -> Dump:
    """What is kept of these loops alone."""
    keys = {
        kind(loop).encode()
        for loop in loops
        for kind in (fold_key, view_key, spend_key, iterations_key)
    }
    return {key: value for key, value in found.items() if key in keys}


def folded(loop_id: str, entries: Sequence[Entry]) -> Dump:
    """What the store should hold of a loop's fold and view."""
    loop: Loop | None = None
    values: dict[str, str] = {}
    for entry in entries:
        loop, writes = project(loop, loop_id, entry.event, entry.seq, entry.body_digest)
        values |= writes.values
    return {key.encode(): value.encode() for key, value in values.items()}


def differences(one: Dump, other: Dump) -> list[str]:
    """Keys at which two differ."""
    keys = sorted(one.keys() | other.keys())
    return [key.decode() for key in keys if one.get(key) != other.get(key)]
