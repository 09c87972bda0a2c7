"""From the log to the projections: in order, in batches, each with its position.

The position is kept in the store, in the same transaction as the writes, and decides where to go
on, whatever a consumer remembers. So replicas may run side by side (one wins each batch), and a
store that is wiped, or restored from an old copy, comes back to the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.exceptions import RedisError

from loopwright import subjects
from loopwright.chain import decode_event, digest
from loopwright.direct import Stored
from loopwright.errors import LoopwrightError, UnreadableError
from loopwright.loop import Loop
from loopwright.objects import ObjectDamagedError, ObjectMissingError, Objects
from loopwright.payloads import check_out
from loopwright.service.bus import Bus
from loopwright.service.cache import Cache
from loopwright.service.intake import pause
from loopwright_state.core import LAYOUT, Known, Writes, project, quarantine
from loopwright_state.reader import Reader
from loopwright_state.store import Position, Store

log = structlog.get_logger()

#: Between two tries while the bus or the store is away, in seconds.
RETRY_S = 0.5
#: Before the position is read again where another replica moved it, in seconds.
AGAIN_S = 0.05
#: Folded loops kept in memory; whatever is not there is read from the store.
CACHED_LOOPS = 2_000
#: A payload is stored before the event that refers to it, but a follower of the bus may lag:
#: seconds before each new try to read one that is missing.
MISSING_WAITS_S = (0.2, 0.5, 1.0)


class StateMetrics:
    """What the state service counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.position = Gauge(
            "loopwright_projection_position", "Stream sequence projected", registry=registry
        )
        self.lag = Gauge(
            "loopwright_projection_lag", "Events stored but not projected", registry=registry
        )
        self.conflicts = Counter(
            "loopwright_projection_conflicts",
            "Batches that another replica wrote",
            registry=registry,
        )
        self.rebuilds = Counter(
            "loopwright_projection_rebuilds",
            "Times the projections were built anew",
            registry=registry,
        )
        self.cut = Gauge(
            "loopwright_heads_cut",
            "Newest events that were projected and that the log no longer holds",
            registry=registry,
        )
        self.quarantined = Gauge(
            "loopwright_loops_quarantined", "Loops whose log cannot be read", registry=registry
        )


@dataclass(slots=True)
class Batch:
    """What some events in a row come to."""

    known: dict[str, Known]
    """The loops as they are after the newest event."""
    writes: Writes = field(default_factory=Writes)
    broken: dict[str, str] = field(default_factory=dict)
    """The loops that this batch quarantines, and why."""

    def take(self, loop_id: str, seq: int, body: bytes | UnreadableError) -> None:
        """Project one event; what it does to a loop, it does to that loop only."""
        before = self.known[loop_id]
        if before.quarantined is not None:
            return
        try:
            loop, writes = _projected(before.loop, loop_id, seq, body)
        except Exception as error:  # a fold that fails on one event fails on it for ever
            why = str(error) if isinstance(error, UnreadableError) else repr(error)
            self.broken[loop_id] = why
            self.known[loop_id] = Known(before.loop, why)
            self.writes.add(quarantine(before.loop, loop_id, seq, why))
        else:
            self.known[loop_id] = Known(loop)
            self.writes.add(writes)


@dataclass(slots=True)
class Projector:
    """Keeps one store up to date with the log."""

    bus: Bus
    objects: Objects
    store: Store
    metrics: StateMetrics
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified whenever the position has moved."""
    seq: int = 0
    healthy: bool = False
    _last: int = 0
    """The newest sequence that is known to be stored."""
    _cache: Cache[str, Known] = field(default_factory=lambda: Cache(CACHED_LOOPS))

    async def run(self, stop: asyncio.Event) -> None:
        """Project until stopped; a bus or store that is away is waited for."""
        while not stop.is_set():
            wait = AGAIN_S
            try:
                position = await self._begin()
                if position is not None:
                    reader = Reader(self.bus, position.seq + 1, position.stream)
                    await self._follow(reader, position, stop)
            except (
                RedisError,
                LoopwrightError,
                nats.errors.Error,
                nats.js.errors.Error,
                OSError,
                TimeoutError,
            ) as error:
                log.warning("projection waits", error=f"{type(error).__name__}: {error}")
                self.healthy = False
                wait = RETRY_S
            self._forget()
            await pause(stop, wait)

    async def _begin(self) -> Position | None:
        """The position to go on from; None where another replica is at it, so look again.

        The position is read before the stream: read after it, it could be ahead of what the
        stream was, as if it were of another log.
        """
        position = await self.store.position()
        info = await self.bus.js.stream_info(subjects.LOOPS)
        fresh = Position(str(info.created))
        self._last = info.state.last_seq
        if position.layout > LAYOUT:
            raise LoopwrightError(
                f"the projections have layout {position.layout}, this replica writes {LAYOUT}; "
                "it leaves them to the newer replicas: replace it by that version"
            )
        if fresh.leads_to(position) and position.seq <= info.state.last_seq:
            return position
        if not await self._keep_heads(position, fresh):
            return None
        if not await self.store.clear(position, fresh):
            return None
        if self._last:
            log.warning("the projections are built anew", found=position.encode(), log=fresh.stream)
            self.metrics.rebuilds.inc()
        return fresh

    async def _keep_heads(self, position: Position, fresh: Position) -> bool:
        """A log that lost its end, or was replaced, must not take the proof of it along."""
        same = position.stream == fresh.stream
        if same and position.seq <= self._last:
            return True
        if same:
            log.error("the log lost its end", projected=position.seq, stored=self._last)
        return await self.store.keep_heads(position, self._last if same else 0)

    async def _follow(self, reader: Reader, position: Position, stop: asyncio.Event) -> None:
        """Batch after batch, until stopped or the store holds another history."""
        self.metrics.quarantined.set(await self.store.quarantined())
        self.metrics.cut.set(await self.store.cuts())
        self.healthy = True
        await self._arrived(position, [])
        messages: list[Stored] = []
        while not stop.is_set():
            messages = [
                message
                for message in messages or await reader.batch()
                if message.seq > position.seq
            ]
            after = await self._advance(position, messages) if messages else None
            if after is not None:
                position, done = after, messages
                messages = []
                await self._arrived(position, done)
                continue
            found = await self.store.position()
            if not position.leads_to(found):
                return
            if found != position:
                position = found
                self._forget()
                await self._arrived(position, [])

    async def _advance(self, before: Position, messages: list[Stored]) -> Position | None:
        """Write a batch; None where another replica was first."""
        batch = await self._begun(before, dict.fromkeys(map(_loop_of, messages)))
        if batch is not None:
            for message in messages:
                batch.take(_loop_of(message), message.seq, await self._body(message))
            after = before.at(messages[-1].seq)
            if await self.store.apply(before, after, batch.writes):
                await self._written(batch)
                return after
        self.metrics.conflicts.inc()
        return None

    async def _begun(self, before: Position, ids: Iterable[str]) -> Batch | None:
        """A batch on what these loops are at `before`; None if the store is elsewhere."""
        known: dict[str, Known] = {}
        missing: list[str] = []
        for loop_id in ids:
            cached = self._cache.get(loop_id)
            if cached is None:
                missing.append(loop_id)
            else:
                known[loop_id] = cached
        if missing:
            position, found = await self.store.known(missing)
            if position != before:
                return None
            known |= found
        return Batch(known)

    async def _body(self, message: Stored) -> bytes | UnreadableError:
        """The event's body; what can never be read is a value, so that it stops its loop only."""
        for wait in (*MISSING_WAITS_S, None):
            try:
                return await check_out(message.body, self.objects)
            except UnreadableError as error:
                return error
            except RecursionError:
                return UnreadableError("a reference to a payload is nested too deeply")
            except (ObjectMissingError, ObjectDamagedError) as error:
                if wait is None:
                    return UnreadableError(str(error))
            await asyncio.sleep(wait)
        raise AssertionError("the last try returns")

    async def _written(self, batch: Batch) -> None:
        """Remember what is in the store now; ended loops are not asked for again."""
        for loop_id, known in batch.known.items():
            if known.loop is not None and known.loop.ended is not None:
                self._cache.drop(loop_id)
            else:
                self._cache.put(loop_id, known)
        for loop_id, why in batch.broken.items():
            log.warning("a loop cannot be read", loop=loop_id, why=why)
        if batch.broken:
            self.metrics.quarantined.set(await self.store.quarantined())

    async def _arrived(self, position: Position, messages: list[Stored]) -> None:
        if messages:
            newest = messages[-1]
            pending = int(newest.headers.get("Nats-Num-Pending", 0))
            self._last = max(self._last, newest.seq + pending)
        self.metrics.position.set(position.seq)
        self.metrics.lag.set(max(0, self._last - position.seq))
        async with self.moved:
            self.seq = position.seq
            self.moved.notify_all()

    def _forget(self) -> None:
        """What is cached was true at a position that this replica wrote; elsewhere it may not."""
        self._cache = Cache(CACHED_LOOPS)


def _projected(
    before: Loop | None, loop_id: str, seq: int, body: bytes | UnreadableError
) -> tuple[Loop, Writes]:
    if isinstance(body, UnreadableError):
        raise body
    return project(before, loop_id, decode_event(body), seq, digest(body))


def _loop_of(message: Stored) -> str:
    return message.subject.split(".")[1]
