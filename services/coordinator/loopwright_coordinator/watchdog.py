"""The watchdog: what nobody else notices, because nothing happens.

A timer that was lost, a message that no consumer will ever deliver, dead letters that pile up.
Loops are only looked at again, by the same decisions as ever; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import nats.errors
import nats.js.errors
import structlog

from loopwright import subjects
from loopwright.breakers import Breakers
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.listing import open_loops, subjects_of
from loopwright.service.bus import Bus
from loopwright.service.claims import claim
from loopwright.service.consumers import COORDINATOR, FAMILY, INTAKE
from loopwright.service.intake import pause
from loopwright.service.metrics import BREAKER_LEVELS, WatchdogMetrics
from loopwright_coordinator.admission import Settle
from loopwright_coordinator.inputs import Begin, Woken
from loopwright_coordinator.log import Log
from loopwright_coordinator.seal import next_look

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
        """Gauges of every consumer; a message that none will deliver again is said."""
        for stream, pattern in INTAKE.items():
            pending, unacknowledged = await self._consumer(stream, COORDINATOR)
            stored = sum((await subjects_of(self.bus.nc, stream, pattern)).values())
            stuck = max(0, stored - pending - unacknowledged)
            self.metrics.stuck.labels(stream).set(stuck)
            if stuck:
                log.warning("messages that no consumer will deliver", stream=stream, count=stuck)
        for role in subjects.ROLES:
            await self._consumer(subjects.LOOPS, role)
        await self._consumer(subjects.LOOPS, FAMILY)
        dead = await self.bus.js.stream_info(subjects.DEAD)
        self.metrics.dead.set(dead.state.messages)
        for breaker in await Breakers(self.bus.nc).ls():
            self.metrics.breaker.labels(breaker.dependency).set(BREAKER_LEVELS[breaker.state])

    async def _consumer(self, stream: str, name: str) -> tuple[int, int]:
        info = await self.bus.js.consumer_info(stream, name)
        pending, unacknowledged = info.num_pending or 0, info.num_ack_pending or 0
        self.metrics.pending.labels(stream, name).set(pending)
        self.metrics.unacknowledged.labels(stream, name).set(unacknowledged)
        return pending, unacknowledged

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
        """Look at a loop if nobody did in time."""
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
