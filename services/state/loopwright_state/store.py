"""The projections' store: batches of writes with the stream position, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import WatchError

from loopwright.loop import Loop
from loopwright_state.core import ALL, POSITION, PREFIX, QUARANTINED, Writes, fold_key


@dataclass(frozen=True, slots=True)
class Position:
    """How far the projections have come: in which stream, to which sequence."""

    stream: str = ""
    """The stream's time of creation: another stream of the same name is another log."""
    seq: int = 0


class Store:
    """Reads and writes on one Redis or Valkey."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def position(self) -> Position:
        """Where to go on from; kept with the data, so an old copy goes on from where it was."""
        raw = await self.redis.get(POSITION)
        return Position(**json.loads(raw)) if raw else Position()

    async def loops(self, ids: Iterable[str]) -> dict[str, Loop]:
        """Folded loops by id."""
        wanted = list(ids)
        if not wanted:
            return {}
        found = await self.redis.mget([fold_key(loop) for loop in wanted])
        return {
            loop: Loop.model_validate_json(raw)
            for loop, raw in zip(wanted, found, strict=True)
            if raw is not None
        }

    async def apply(
        self, before: Position, after: Position, writes: list[Writes], quarantined: dict[str, str]
    ) -> bool:
        """Write a batch with its position, unless another replica was first: then False."""
        async with self.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(POSITION)
            raw = await pipe.get(POSITION)
            if (Position(**json.loads(raw)) if raw else Position()) != before:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            values = {key: value for item in writes for key, value in item.values.items()}
            if values:
                pipe.mset(values)
            for item in writes:
                for key, member in item.removed.items():
                    pipe.zrem(key, member)
                for key, (member, score) in item.scores.items():
                    pipe.zadd(key, {member: score})
                for key, (name, value) in item.fields.items():
                    pipe.hset(key, name, value)
            for loop, why in quarantined.items():
                pipe.hset(QUARANTINED, loop, why)
            pipe.set(POSITION, json.dumps({"stream": after.stream, "seq": after.seq}))
            try:
                await pipe.execute()
            except WatchError:
                return False
            return True

    async def clear(self) -> None:
        """Forget every projection, the position first: a crash half-way begins again."""
        await self.redis.delete(POSITION)
        keys = [key async for key in self.redis.scan_iter(match=f"{PREFIX}*", count=1000)]
        for start in range(0, len(keys), 1000):
            await self.redis.delete(*keys[start : start + 1000])

    async def newest(self, index: str, limit: int) -> list[str]:
        """Loop ids of an index, the newest first."""
        found = await self.redis.zrevrange(index or ALL, 0, limit - 1)
        return [item.decode() if isinstance(item, bytes) else str(item) for item in found]
