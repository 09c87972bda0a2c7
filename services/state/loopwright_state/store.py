"""The projections' store: batches of writes with the stream position, in one transaction.

Every write, a rebuild's deletions included, is guarded by a compare-and-set on the position, so
whoever writes last knew what was there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from loopwright.loop import Loop
from loopwright_state.core import (
    CUT,
    LAYOUT,
    POSITION,
    PREFIX,
    QUARANTINED,
    Known,
    Writes,
    fold_key,
    head,
    view_key,
)

log = structlog.get_logger()

#: `seq` of a position while old projections are being deleted.
CLEARING = -1
#: Keys deleted in one transaction.
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Position:
    """How far the projections have come: in which stream, to which sequence, in which form."""

    stream: str = ""
    """The stream's time of creation: another stream of the same name is another log."""
    seq: int = 0
    layout: int = LAYOUT

    def at(self, seq: int) -> Position:
        """The same log at another sequence."""
        return replace(self, seq=seq)

    def leads_to(self, other: Position) -> bool:
        """Whether another replica can have come from here to `other`."""
        return other.at(self.seq) == self and other.seq >= self.seq

    def encode(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True)


def decode_position(raw: bytes | str | None) -> Position:
    """A stored position; what cannot be read is one of no log, so that it is replaced."""
    if raw is None:
        return Position()
    try:
        found = json.loads(raw)
        return Position(str(found["stream"]), int(found["seq"]), int(found["layout"]))
    except (ValueError, KeyError, TypeError):
        return Position("unreadable", 0, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One loop at one position."""

    position: Position
    view: bytes | None
    quarantined: str | None


class Store:
    """Reads and writes on one Redis or Valkey."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def position(self) -> Position:
        """Where to go on from; kept with the data, so an old copy goes on from where it was."""
        return decode_position(await self.redis.get(POSITION))

    async def known(self, ids: Iterable[str]) -> tuple[Position, dict[str, Known]]:
        """What is projected of these loops, and the position at which that is so."""
        wanted = list(ids)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.get(POSITION)
            pipe.mget([fold_key(loop) for loop in wanted])
            pipe.hmget(QUARANTINED, wanted)
            position, folds, broken = await pipe.execute()
        found = {
            loop: _known(loop, fold, why)
            for loop, fold, why in zip(wanted, folds, broken, strict=True)
        }
        return decode_position(position), found

    async def snapshot(self, loop: str) -> Snapshot:
        """One loop's view and the position that it was read at."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.get(POSITION)
            pipe.get(view_key(loop))
            pipe.hget(QUARANTINED, loop)
            position, view, broken = await pipe.execute()
        return Snapshot(decode_position(position), view, _reason(broken))

    async def views(self, index: str, limit: int, offset: int = 0) -> list[bytes | str]:
        """The views of an index, the newest loop first."""
        ids = await self.redis.zrevrange(index, offset, offset + limit - 1)
        keys = [view_key(item.decode()) for item in ids if isinstance(item, bytes)]
        return [raw for raw in await self.redis.mget(keys) if raw is not None] if keys else []

    async def cut(self, limit: int, offset: int = 0) -> list[bytes]:
        """Heads that were projected and that the stream no longer holds."""
        found = await self.redis.zrange(CUT, offset, offset + limit - 1)
        return [item for item in found if isinstance(item, bytes)]

    async def cuts(self) -> int:
        """How many there are."""
        return int(await self.redis.zcard(CUT))

    async def keep_heads(self, before: Position, beyond: int) -> bool:
        """Note the heads with a sequence beyond this, before their projections are cleared.

        False if the position is another by now.
        """
        heads: dict[str, float] = {}
        async for key in self.redis.scan_iter(match=fold_key("*"), count=CHUNK):
            found = _head(await self.redis.get(key))
            if found is not None and found[1] > beyond:
                heads[found[0]] = found[1]
        async with self.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(POSITION)
            if decode_position(await pipe.get(POSITION)) != before:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            if heads:
                pipe.zadd(CUT, heads)
            return await _execute(pipe)

    async def quarantined(self) -> int:
        """How many loops cannot be read."""
        return int(await self.redis.hlen(QUARANTINED))

    async def apply(self, before: Position, after: Position, writes: Writes) -> bool:
        """Write a batch with its position, unless another replica was first: then False."""
        async with self.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(POSITION)
            if decode_position(await pipe.get(POSITION)) != before:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            _queue(pipe, writes)
            pipe.set(POSITION, after.encode())
            return await _execute(pipe)

    async def clear(self, before: Position, fresh: Position) -> bool:
        """Forget every projection and stand at `fresh`; False if another replica was first.

        Meanwhile the position says so: nobody writes, and any replica goes on where one was lost.
        """
        marker = fresh.at(CLEARING)
        if before != marker and not await self.apply(before, marker, Writes()):
            return False
        keys: list[bytes] = []
        async for key in self.redis.scan_iter(match=f"{PREFIX}*", count=CHUNK):
            if key not in (POSITION.encode(), CUT.encode()):
                keys.append(key)
            if len(keys) >= CHUNK:
                if not await self._delete(marker, keys):
                    return False
                keys = []
        return await self._delete(marker, keys) and await self.apply(marker, fresh, Writes())

    async def _delete(self, marker: Position, keys: list[bytes]) -> bool:
        if not keys:
            return True
        async with self.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(POSITION)
            if decode_position(await pipe.get(POSITION)) != marker:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.unlink(*keys)
            return await _execute(pipe)


async def _execute(pipe: Pipeline) -> bool:
    try:
        await pipe.execute()
    except WatchError:
        return False
    return True


def _queue(pipe: Pipeline, writes: Writes) -> None:
    """The writes as few commands: one for each key."""
    if writes.values:
        pipe.mset(writes.values)
    added: dict[str, dict[str, float]] = defaultdict(dict)
    removed: dict[str, list[str]] = defaultdict(list)
    for (index, loop), score in writes.members.items():
        if score is None:
            removed[index].append(loop)
        else:
            added[index][loop] = score
    for index, loops in removed.items():
        pipe.zrem(index, *loops)
    for index, scores in added.items():
        pipe.zadd(index, scores)
    for key, mapping in _by_key(writes.fields).items():
        pipe.hset(key, mapping=mapping)  # type: ignore[arg-type]


def _by_key(fields: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (key, name), value in fields.items():
        found[key][name] = value
    return found


def _head(fold: bytes | str | None) -> tuple[str, int] | None:
    """The head and its sequence in a fold of any layout; None where there is none."""
    try:
        found = json.loads(fold or b"null")
        return head(str(found["id"]), int(found["n"]), str(found["head"])), int(found["tip"])
    except (ValueError, KeyError, TypeError):
        return None


def _known(loop: str, fold: bytes | None, broken: bytes | None) -> Known:
    try:
        return Known(Loop.model_validate_json(fold) if fold is not None else None, _reason(broken))
    except ValidationError as error:
        # Its next event cannot follow nothing, so it is quarantined; a rebuild mends it.
        log.warning("a stored fold is damaged", loop=loop, faults=error.error_count())
        return Known(None, _reason(broken))


def _reason(raw: bytes | None) -> str | None:
    return None if raw is None else str(json.loads(raw)["reason"])
