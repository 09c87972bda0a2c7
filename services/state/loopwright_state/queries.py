"""Queries over NATS request/reply: one loop, or a list. Whatever is asked, there is an answer.

What is answered is read from the store together with the position that it was read at, so it
does not matter which replica answers, nor how far that replica itself has come.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import nats.errors
import structlog
from nats.aio.msg import Msg
from pydantic import Field, ValidationError
from redis.exceptions import RedisError

from loopwright import subjects
from loopwright.errors import LoopwrightError
from loopwright.ids import LoopId
from loopwright.states import LoopState
from loopwright.wire import Json, Written
from loopwright_state.core import ALL, state_key, tenant_key
from loopwright_state.projector import Projector
from loopwright_state.store import Snapshot

log = structlog.get_logger()

#: How long a query waits for the projections to reach its `min_seq`, in seconds.
WAIT_S = 2.0
#: Between two looks at the store while a query waits: another replica may be the one that moves it.
LOOK_S = 0.1
QUEUE = "state"
#: Queries answered at a time; one that waits must not hold up the others.
CONCURRENT = 256
#: The server takes 1 MiB; nats-py loses an answer that is larger.
ANSWER_BYTES = 768 * 1024
#: Parts of a view that are for one loop, not for lists.
DETAIL = ("checks", "history")


class LoopQuery(Written):
    """One loop, as it is at `min_seq` of the stream or later: a writer reads its own write."""

    loop: LoopId
    min_seq: int | None = Field(default=None, ge=0)


class LoopsQuery(Written):
    """The newest loops, of a tenant or in a state if that is given."""

    tenant: str | None = Field(default=None, max_length=200)
    state: LoopState | Literal["quarantined"] | None = None
    limit: int = Field(default=50, ge=1, le=500)


class HeadsQuery(Written):
    """A page of where the logs end, of one loop or all, or where those ended that are cut."""

    loop: LoopId | None = None
    cut: bool = False
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=500, ge=1, le=500)


Query = Callable[[Msg], Awaitable[dict[str, Json]]]


@dataclass(slots=True)
class Queries:
    """Answers from the projections."""

    projector: Projector
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        """Answer from now on; replicas share the work."""
        await self.answer_on(subjects.QUERY_LOOP, self._loop)
        await self.answer_on(subjects.QUERY_LOOPS, self._loops)
        await self.answer_on(subjects.QUERY_HEADS, self._heads)

    async def answer_on(self, subject: str, query: Query) -> None:
        """Answer what is asked on a subject with what the query gives, or with its error."""

        async def received(message: Msg) -> None:
            if not message.reply:
                return
            if len(self._running) >= CONCURRENT:
                busy = f"this replica answers {CONCURRENT} queries at a time; ask again"
                await _respond(message, {"error": busy})
                return
            task = asyncio.create_task(self._answer(query, message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await self.projector.bus.nc.subscribe(subject, queue=QUEUE, cb=received)

    async def _answer(self, query: Query, message: Msg) -> None:
        await _respond(message, await _safely(query, message))

    async def _loop(self, message: Msg) -> dict[str, Json]:
        query = LoopQuery.model_validate_json(message.data)
        found = await self._at(query.loop, query.min_seq or 0)
        if found.position.seq < (query.min_seq or 0):
            so_far = f"projected up to {max(0, found.position.seq)}, {query.min_seq} is wanted"
            return {"view": None, "error": f"{so_far}; ask again"}
        broken = found.quarantined
        error = f"its log cannot be read: {broken}" if broken is not None else None
        return {"view": json.loads(found.view) if found.view else None, "error": error}

    async def _at(self, loop: str, seq: int) -> Snapshot:
        """The loop at `seq` or later, or where the projections are when the time is over."""
        projector = self.projector
        until = asyncio.get_running_loop().time() + WAIT_S
        while True:
            found = await projector.store.snapshot(loop)
            left = until - asyncio.get_running_loop().time()
            if found.position.seq >= seq or left <= 0:
                return found
            try:
                async with asyncio.timeout(min(LOOK_S, left)), projector.moved:
                    await projector.moved.wait()
            except TimeoutError:
                continue

    async def _loops(self, message: Msg) -> dict[str, Json]:
        """The views without their details; `left_off` says how many did not fit in a message."""
        query = LoopsQuery.model_validate_json(message.data)
        raw = await self.projector.store.views(_index(query), query.limit)
        loops: list[Json] = []
        size = 0
        for item in raw:
            view = {key: value for key, value in json.loads(item).items() if key not in DETAIL}
            size += len(json.dumps(view)) + 2
            if size > ANSWER_BYTES:
                break
            loops.append(view)
        return {"loops": loops, "left_off": len(raw) - len(loops), "error": None}

    async def _heads(self, message: Msg) -> dict[str, Json]:
        """What the projections saw of where each log ends."""
        query = HeadsQuery.model_validate_json(message.data)
        store = self.projector.store
        if query.cut:
            return {
                "heads": [json.loads(raw) for raw in await store.cut(query.limit, query.offset)]
            }
        if query.loop is not None:
            view = (await store.snapshot(query.loop)).view
            return {"heads": [_head(view)] if view is not None else []}
        return {"heads": [_head(v) for v in await store.views(ALL, query.limit, query.offset)]}


def _head(raw: bytes | str) -> dict[str, Json]:
    view = json.loads(raw)
    return {key: view[key] for key in ("loop", "n", "head")}


async def _safely(query: Query, message: Msg) -> dict[str, Json]:
    try:
        return await query(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "query"
        return {"error": f"{where}: {first['msg']}"}
    except LoopwrightError as error:
        return {"error": str(error)}
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("a query found no store", error=str(error))
        return {
            "error": "the projections cannot be read: Redis does not answer; loops go on "
            "without it, and `loopwright log ID` reads the log itself"
        }
    except Exception as error:
        log.exception("unexpected fault in a query")
        return {"error": f"the query failed unexpectedly ({type(error).__name__}); see the log"}


async def _respond(message: Msg, answer: dict[str, Json]) -> None:
    data = json.dumps(answer).encode()
    if len(data) > ANSWER_BYTES:
        too_large = f"the answer has {len(data)} bytes, {ANSWER_BYTES} fit into a message"
        data = json.dumps({"error": f"{too_large}; `loopwright log ID` reads the log"}).encode()
    try:
        await message.respond(data)
    except (nats.errors.Error, OSError) as error:
        log.warning("a query could not be answered", error=str(error))


def _index(query: LoopsQuery) -> str:
    if query.state is not None:
        return state_key(query.state, query.tenant)
    return ALL if query.tenant is None else tenant_key(query.tenant)
