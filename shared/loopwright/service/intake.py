"""A durable consumer at the speed of the bus: handle, acknowledge; no message is lost.

The handler decides on the message only. What becomes of it is decided here, in one place: done is
acknowledged, a bus that does not answer or an unexpected fault is tried again later, a message
that cannot be read is recorded as a dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
import structlog
from nats.aio.msg import Msg

from loopwright.errors import BusUnavailableError, UnreadableError
from loopwright.service.bus import Bus
from loopwright.service.dead import bury
from loopwright.service.metrics import Metrics
from loopwright.service.pull import Pull

log = structlog.get_logger()

#: So many deliveries of one message with unexpected faults make it a dead letter.
MAX_FAULTS = 8


class RetryLaterError(Exception):
    """Not now: deliver the message again after `delay_s`."""

    def __init__(self, why: str, delay_s: float) -> None:
        self.delay_s = delay_s
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Intake:
    """One durable consumer of one stream."""

    bus: Bus
    stream: str
    durable: str
    handle: Callable[[Msg], Awaitable[None]]
    metrics: Metrics
    concurrency: int = 64

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped, then wait for what is being handled."""
        pull = Pull(self.bus.nc, self.stream, self.durable, self._deliver, self.concurrency)
        await pull.run(stop)

    async def _deliver(self, message: Msg) -> None:
        deliveries = message.metadata.num_delivered or 1
        if deliveries > 1:
            self.metrics.redeliveries.labels(self.stream).inc()
        try:
            await self.handle(message)
            await message.ack()
        except UnreadableError as error:
            await self._bury(message, str(error))
        except RetryLaterError as error:
            log.info("tried again later", subject=message.subject, why=str(error))
            await _nak(message, error.delay_s)
        except BusUnavailableError as error:
            log.warning("the bus did not answer", subject=message.subject, error=str(error))
            await _nak(message, min(0.25 * 2**deliveries, 5.0))
        except Exception as error:
            log.exception("unexpected fault", subject=message.subject, deliveries=deliveries)
            if deliveries >= MAX_FAULTS:
                await self._bury(message, f"{type(error).__name__}: {error}")
            else:
                await _nak(message, min(0.25 * 2**deliveries, 10.0))

    async def _bury(self, message: Msg, reason: str) -> None:
        try:
            await bury_message(self.bus, self.stream, message, reason, self.metrics)
        except BusUnavailableError:
            await _nak(message, 1.0)


async def bury_message(bus: Bus, stream: str, message: Msg, reason: str, metrics: Metrics) -> None:
    """Record a delivery as a dead letter, then acknowledge it."""
    log.warning("dead letter", subject=message.subject, reason=reason)
    await bury(
        bus,
        stream=stream,
        subject=message.subject,
        seq=message.metadata.sequence.stream,
        body=message.data,
        headers=message.headers,
        reason=reason,
    )
    metrics.dead_letters.labels(stream).inc()
    await message.ack()


async def _nak(message: Msg, delay_s: float) -> None:
    try:
        await message.nak(delay=delay_s)
    except (nats.errors.Error, ConnectionError):
        log.debug("could not nak; the message comes again by itself", subject=message.subject)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not past the stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
