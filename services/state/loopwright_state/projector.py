"""From the log to the projections: in order, in batches, each with its position.

The position is kept in the store, in the same transaction as the writes, and decides where to go
on, whatever a consumer remembers. So replicas may run side by side (one wins each batch), and a
store that is wiped, or restored from an old copy, comes back to the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.exceptions import RedisError

from loopwright import subjects
from loopwright.chain import decode_event, digest
from loopwright.errors import LoopwrightError, UnreadableError
from loopwright.loop import Loop
from loopwright.objects import Objects
from loopwright.payloads import check_out
from loopwright.service.bus import Bus
from loopwright.service.intake import pause
from loopwright_state.core import Writes, project
from loopwright_state.store import Position, Store

log = structlog.get_logger()

BATCH = 256
FETCH_S = 0.5
#: Between two tries while the bus or the store is away.
RETRY_S = 0.5
#: A reader that is not heard of any more is forgotten by the server after this.
INACTIVE_S = 60.0


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
        self.quarantined = Counter(
            "loopwright_loops_quarantined", "Loops whose log cannot be read", registry=registry
        )


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

    async def run(self, stop: asyncio.Event) -> None:
        """Project until stopped; a bus or store that is away is waited for."""
        while not stop.is_set():
            try:
                position = await self._begin()
                async with self._reader(position) as subscription:
                    self.healthy = True
                    await self._follow(subscription, position, stop)
            except (RedisError, LoopwrightError, nats.errors.Error, nats.js.errors.Error) as error:
                log.warning("projection waits", error=f"{type(error).__name__}: {error}")
            except (OSError, TimeoutError) as error:
                log.warning("projection waits", error=f"{type(error).__name__}: {error}")
            self.healthy = False
            await pause(stop, RETRY_S)

    async def _begin(self) -> Position:
        """The position to go on from; another stream, or one that is behind, means a rebuild."""
        info = await self.bus.js.stream_info(subjects.LOOPS)
        created = str(getattr(info, "created", ""))
        position = await self.store.position()
        if position.stream == created and position.seq <= info.state.last_seq:
            return position
        if position != Position():
            log.warning("the projections are of another log; they are built anew")
        await self.store.clear()
        self.metrics.rebuilds.inc()
        fresh = Position(created, 0)
        await self.store.apply(Position(), fresh, [], {})
        return fresh

    @asynccontextmanager
    async def _reader(self, position: Position) -> AsyncIterator[JetStreamContext.PullSubscription]:
        """An ephemeral consumer from the position on."""
        config = ConsumerConfig(
            filter_subject="loop.>",
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position.seq + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=INACTIVE_S,
            mem_storage=True,
        )
        info = await self.bus.js.add_consumer(subjects.LOOPS, config)
        assert info.name is not None
        subscription = await self.bus.js.pull_subscribe_bind(
            info.name, subjects.LOOPS, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        try:
            yield subscription
        finally:
            await self._forget(subscription, info.name)

    async def _forget(self, subscription: JetStreamContext.PullSubscription, consumer: str) -> None:
        try:
            await subscription.unsubscribe()
            await self.bus.js.delete_consumer(subjects.LOOPS, consumer)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
            log.debug("the server will forget the reader by itself", consumer=consumer)

    async def _follow(
        self,
        subscription: JetStreamContext.PullSubscription,
        position: Position,
        stop: asyncio.Event,
    ) -> None:
        """Batch after batch, until stopped or another replica has moved the position."""
        await self._arrived(position.seq, 0)
        while not stop.is_set():
            try:
                messages = await subscription.fetch(BATCH, timeout=FETCH_S)
            except TimeoutError:
                messages = []
            if not messages:  # nats-py gives none, or raises, as it comes
                if await self.store.position() != position:
                    return
                continue
            last = messages[-1].metadata
            after = Position(position.stream, last.sequence.stream)
            writes, quarantined = await self._project(messages)
            if not await self.store.apply(position, after, writes, quarantined):
                self.metrics.conflicts.inc()
                return
            position = after
            await self._arrived(after.seq, last.num_pending)

    async def _arrived(self, seq: int, pending: int) -> None:
        self.metrics.position.set(seq)
        self.metrics.lag.set(pending)
        async with self.moved:
            self.seq = seq
            self.moved.notify_all()

    async def _project(self, messages: list[Msg]) -> tuple[list[Writes], dict[str, str]]:
        """What a batch writes. A loop whose event cannot be folded is quarantined, alone."""
        ids = dict.fromkeys(message.subject.split(".")[1] for message in messages)
        loops: dict[str, Loop] = await self.store.loops(ids)
        writes: list[Writes] = []
        quarantined: dict[str, str] = {}
        for message in messages:
            loop_id = message.subject.split(".")[1]
            try:
                loops[loop_id], item = await self._one(message, loops.get(loop_id))
                writes.append(item)
            except UnreadableError as error:
                if loop_id not in quarantined:
                    self.metrics.quarantined.inc()
                    log.warning("a loop cannot be read", loop=loop_id, why=str(error))
                quarantined[loop_id] = str(error)
        return writes, quarantined

    async def _one(self, message: Msg, loop: Loop | None) -> tuple[Loop, Writes]:
        body = await check_out(message.data, self.objects)
        return project(loop, decode_event(body), message.metadata.sequence.stream, digest(body))
