"""The log from a position on: in order, and without a hole, or not at all.

Nothing is acknowledged, so what the server sent into a connection that broke would be missing
without a sign: each delivery's number must follow the one before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from loopwright import subjects
from loopwright.errors import BusUnavailableError

log = structlog.get_logger()

BATCH = 512
#: A fetch in flight when the server restarts blocks for its whole time.
FETCH_S = 0.5
#: An idle reader asks the server this often whether it is still known, in seconds.
CHECK_S = 2.0
#: A reader that is not heard of any more is forgotten by the server after this.
INACTIVE_S = 60.0


@dataclass(slots=True)
class Reader:
    """One ephemeral consumer of LOOPS."""

    js: JetStreamContext
    consumer: str
    subscription: JetStreamContext.PullSubscription
    delivered: int = 0
    """The number of the newest delivery."""
    _looked: float = 0.0
    _waiting: bool = False

    async def batch(self) -> list[Msg]:
        """The next events, or none after a while; BusUnavailableError where one is missing."""
        try:
            messages = await self.subscription.fetch(BATCH, timeout=FETCH_S)
        except TimeoutError:
            messages = []
        if not messages:  # nats-py gives none, or raises, as it comes
            if monotonic() - self._looked >= CHECK_S:
                await self._look()
            return []
        for message in messages:
            self._follows(message)
        self._waiting = False
        return messages

    def _follows(self, message: Msg) -> None:
        number = message.metadata.sequence.consumer
        if number != self.delivered + 1:
            raise BusUnavailableError(
                f"delivery {number} came after {self.delivered}; reading again from the position"
            )
        self.delivered = number

    async def _look(self) -> None:
        """A consumer that is gone, or that delivers to nobody, is replaced."""
        info = await self.js.consumer_info(subjects.LOOPS, self.consumer)
        self._looked = monotonic()
        sent = info.delivered.consumer_seq if info.delivered is not None else 0
        behind = sent > self.delivered or bool(info.num_pending)
        if behind and self._waiting:
            raise BusUnavailableError(
                f"the server sent {sent} events and holds {info.num_pending}, "
                f"{self.delivered} came; reading again from the position"
            )
        self._waiting = behind


@asynccontextmanager
async def reading(js: JetStreamContext, start: int) -> AsyncIterator[Reader]:
    """A reader of every event from stream sequence `start` on."""
    config = ConsumerConfig(
        filter_subject="loop.>",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=INACTIVE_S,
        mem_storage=True,
    )
    info = await js.add_consumer(subjects.LOOPS, config)
    assert info.name is not None
    subscription = await js.pull_subscribe_bind(
        info.name, subjects.LOOPS, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    try:
        yield Reader(js, info.name, subscription)
    finally:
        await _forget(js, info.name, subscription)


async def _forget(
    js: JetStreamContext, consumer: str, subscription: JetStreamContext.PullSubscription
) -> None:
    try:
        await subscription.unsubscribe()
        await js.delete_consumer(subjects.LOOPS, consumer)
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
        log.debug("the server will forget the reader by itself", consumer=consumer)
