"""The watchdog: what nobody else notices, because nothing happens.

A timer that was lost, a message that no consumer will ever deliver, dead letters that pile up.
Loops are only looked at again, by the same decisions as ever; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import nats.errors
import nats.js.errors
import structlog
from nats.js.api import RetentionPolicy

from loopwright import subjects
from loopwright.breakers import Breakers
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.listing import open_loops, subjects_of
from loopwright.service.bus import Bus
from loopwright.service.claims import claim
from loopwright.service.intake import pause
from loopwright.service.metrics import BREAKER_LEVELS, WatchdogMetrics
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import Declared, declarations
from loopwright_coordinator.admission import Settle
from loopwright_coordinator.inputs import Begin, Woken
from loopwright_coordinator.log import Log
from loopwright_coordinator.seal import next_look
from loopwright_coordinator.unreadable import UNREADABLE, end_unreadable

log = structlog.get_logger()

#: A look that is overdue by this much has been lost; its timer may fire a little late.
OVERDUE = timedelta(seconds=15)


@dataclass(slots=True)
class Watchdog:
    """Looks at the streams often and at every open loop now and then; any replica may."""

    bus: Bus
    log: Log
    settle: Settle
    metrics: WatchdogMetrics
    replica: str
    watch_s: float
    sweep_s: float
    max_usd: Decimal | None = None
    overdue: timedelta = OVERDUE
    declared: tuple[Declared, ...] = field(default_factory=lambda: declarations(ServiceSettings()))

    async def run(self, stop: asyncio.Event) -> None:
        """Watch and sweep until stopped."""
        swept = 0.0
        while not stop.is_set():
            await self._tried(self.watch)
            if monotonic() - swept >= self.sweep_s:
                swept = monotonic()
                await self._tried(self.sweep_if_due)
            await pause(stop, self.watch_s)

    async def _tried(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (LoopwrightError, nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            log.warning("the watchdog could not look", error=str(error))

    async def watch(self) -> None:
        """Gauges of every declared consumer; what none will deliver again is said."""
        for item in self.declared:
            if item.consumers:
                await self._look_at(item)
        dead = await self.bus.js.stream_info(subjects.DEAD)
        self.metrics.dead.set(dead.state.messages)
        for breaker in await Breakers(self.bus.nc).ls():
            self.metrics.breaker.labels(breaker.dependency).set(BREAKER_LEVELS[breaker.state])

    async def _look_at(self, item: Declared) -> None:
        """A stream with its consumers; one that was deleted delivers nothing of it."""
        stream = str(item.stream.name)
        queue = item.stream.retention == RetentionPolicy.WORK_QUEUE
        total = 0
        for config in item.consumers:
            name = str(config.durable_name)
            try:
                waiting = await self._consumer(stream, name)
            except nats.js.errors.NotFoundError:
                info = await self.bus.js.stream_info(stream)
                stuck = info.state.messages
                log.warning("a consumer is missing", stream=stream, consumer=name)
            else:
                stuck = await self._stuck(stream, str(config.filter_subject), waiting, queue)
            total += stuck
            if stuck:
                log.warning(
                    "messages that no consumer will deliver",
                    stream=stream,
                    consumer=name,
                    count=stuck,
                )
        self.metrics.stuck.labels(stream).set(total)

    async def _stuck(self, stream: str, pattern: str, waiting: int, queue: bool) -> int:
        """Messages of a queue that its consumer neither has to deliver nor to hear of again."""
        if not queue:
            return 0  # what was handled stays in the stream
        stored = sum((await subjects_of(self.bus.nc, stream, pattern)).values())
        return max(0, stored - waiting)

    async def _consumer(self, stream: str, name: str) -> int:
        """Set a consumer's gauges; how many messages it has to deliver or to hear of again."""
        info = await self.bus.js.consumer_info(stream, name)
        pending, unacknowledged = info.num_pending or 0, info.num_ack_pending or 0
        self.metrics.pending.labels(stream, name).set(pending)
        self.metrics.unacknowledged.labels(stream, name).set(unacknowledged)
        return pending + unacknowledged

    async def sweep_if_due(self) -> int:
        """Sweep, unless another replica has taken this period; how many loops were woken."""
        period = int(datetime.now(UTC).timestamp() // self.sweep_s)
        if not (await claim(self.bus, subjects.sweep(period), self.replica)).ours:
            return 0
        return await self.sweep()

    async def sweep(self) -> int:
        """Wake each open loop whose look is overdue: its timer was lost."""
        woken = 0
        for loop_id in sorted(await open_loops(self.bus.nc)):
            try:
                woken += await self._woken(loop_id)
            except BusUnavailableError:
                raise
            except Exception:  # what is wrong with one loop keeps no other from its look
                log.exception("a loop could not be looked at", loop=loop_id)
        self.metrics.swept.inc(woken)
        return woken

    async def _woken(self, loop_id: str) -> bool:
        """Look at a loop if nobody did in time; one that cannot be read ends at its deadline."""
        try:
            return await self._looked_at(loop_id)
        except UNREADABLE as error:
            return await end_unreadable(self.log, loop_id, datetime.now(UTC), error)

    async def _looked_at(self, loop_id: str) -> bool:
        loop = await self.log.load(loop_id, at_least=0)
        if loop is None or loop.ended is not None:
            return False
        due = datetime.now(UTC) - self.overdue
        if loop.state == "admitted" and loop.updated_at < due:
            await self.settle(loop_id, Begin(self.max_usd))
        elif next_look(loop).at < due:
            await self.settle(loop_id, Woken())
        else:
            return False
        log.warning("a look that was overdue", loop=loop_id, state=loop.state)
        return True
