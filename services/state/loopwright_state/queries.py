"""Queries over NATS request/reply: one loop, or a list. A wrong query gets a sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from nats.aio.msg import Msg
from pydantic import Field, ValidationError
from redis.exceptions import RedisError

from loopwright import subjects
from loopwright.ids import LoopId
from loopwright.loop import LoopState
from loopwright.wire import Json, Written
from loopwright_state.core import ALL, QUARANTINED, state_key, tenant_key, view_key
from loopwright_state.projector import Projector

log = structlog.get_logger()

#: How long a query waits for the projections to reach its `min_seq`, in seconds.
WAIT_S = 2.0
QUEUE = "state"


class LoopQuery(Written):
    """One loop, as it is at `min_seq` of the stream or later: a writer reads its own write."""

    loop: LoopId
    min_seq: int | None = Field(default=None, ge=0)


class LoopsQuery(Written):
    """The newest loops, of a tenant or in a state if that is given."""

    tenant: str | None = None
    state: LoopState | None = None
    limit: int = Field(default=50, ge=1, le=500)


@dataclass(frozen=True, slots=True)
class Queries:
    """Answers from the projections."""

    projector: Projector

    async def listen(self) -> None:
        """Answer from now on; replicas share the work."""
        nc = self.projector.bus.nc
        await nc.subscribe(subjects.QUERY_LOOP, queue=QUEUE, cb=self._answering(self._loop))
        await nc.subscribe(subjects.QUERY_LOOPS, queue=QUEUE, cb=self._answering(self._loops))

    def _answering(
        self, query: Callable[[bytes], Awaitable[dict[str, Json]]]
    ) -> Callable[[Msg], Awaitable[None]]:
        async def respond(message: Msg) -> None:
            if message.reply:
                await message.respond(json.dumps(await self._safely(query, message.data)).encode())

        return respond

    async def _safely(
        self, query: Callable[[bytes], Awaitable[dict[str, Json]]], body: bytes
    ) -> dict[str, Json]:
        try:
            return await query(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "query"
            return {"error": f"{where}: {first['msg']}"}
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("a query found no store", error=str(error))
            return {
                "error": "the projections cannot be read: Redis does not answer; loops go on "
                "without it, and `loopwright log ID` reads the log itself"
            }

    async def _loop(self, body: bytes) -> dict[str, Json]:
        query = LoopQuery.model_validate_json(body)
        if query.min_seq is not None and not await self._reached(query.min_seq):
            behind = f"projected up to {self.projector.seq}, {query.min_seq} is wanted; ask again"
            return {"view": None, "error": behind}
        redis = self.projector.store.redis
        raw, broken = await asyncio.gather(
            redis.get(view_key(query.loop)), redis.hget(QUARANTINED, query.loop)
        )
        error = f"its log cannot be read: {_text(broken)}" if broken else None
        return {"view": json.loads(raw) if raw else None, "error": error}

    async def _reached(self, seq: int) -> bool:
        projector = self.projector
        try:
            async with asyncio.timeout(WAIT_S), projector.moved:
                await projector.moved.wait_for(lambda: projector.seq >= seq)
        except TimeoutError:
            return False
        return True

    async def _loops(self, body: bytes) -> dict[str, Json]:
        query = LoopsQuery.model_validate_json(body)
        store = self.projector.store
        ids = await store.newest(_index(query), query.limit)
        raw = await store.redis.mget([view_key(loop) for loop in ids]) if ids else []
        loops = [json.loads(item) for item in raw if item]
        if query.tenant is not None:
            loops = [item for item in loops if item["tenant"] == query.tenant]
        return {"loops": loops, "error": None}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _index(query: LoopsQuery) -> str:
    if query.state is not None:
        return state_key(query.state)
    return ALL if query.tenant is None else tenant_key(query.tenant)
