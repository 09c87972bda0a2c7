"""A durable consumer's messages by standing requests: asked for ahead, handed on as they come.

Never more is asked for than may be worked on at once, so no message waits in this process while
its time to be acknowledged runs. Requests die with the server, or with the leader, that holds
them: each has an end of its own, after which it is made again, and a reconnection makes it at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from loopwright.errors import BusUnavailableError

log = structlog.get_logger()

#: How long a request stands, in seconds.
STANDS_S = 2.0
#: Past its end, a request of which nothing was heard is taken for lost after this, in seconds.
LOST_S = 0.5
#: Between two looks for what was lost, in seconds.
LOOK_S = 0.25
#: A request came to its end; any other word of the server is about something that is wrong.
_EXPIRED = "408"


@dataclass(slots=True)
class _Request:
    left: int
    until: float


@dataclass(slots=True)
class Pull:
    """One consumer of one stream; `most` messages at once."""

    nc: Client
    stream: str
    durable: str
    handle: Callable[[Msg], Awaitable[None]]
    most: int
    _requests: deque[_Request] = field(default_factory=deque)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _inbox: str = ""
    _stopped: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped, then wait for what is being handled."""
        self._inbox = self.nc.new_inbox()
        subscription = await self.nc.subscribe(self._inbox, cb=self._heard)
        reconnects = self.nc.stats["reconnects"]
        while not stop.is_set():
            if reconnects != self.nc.stats["reconnects"]:
                reconnects = self.nc.stats["reconnects"]
                self._requests.clear()
            while self._requests and self._requests[0].until + LOST_S < monotonic():
                self._requests.popleft()
            await self._ask()
            await _wait(stop, LOOK_S)
        self._stopped = True
        if self.nc.is_connected:  # a request whose inbox nobody hears gets no more messages
            await subscription.unsubscribe()
        if self._running:
            await asyncio.wait(self._running)

    async def _heard(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None:
            if self._requests:
                self._requests.popleft()
            if status == _EXPIRED:
                await self._ask()
            elif status != "100":
                log.debug("no messages", stream=self.stream, status=status)
            return
        if self._requests:
            self._requests[0].left -= 1
            if self._requests[0].left <= 0:
                self._requests.popleft()
        if len(self._running) >= self.most:  # of a request that was taken for lost
            await message.nak()
            return
        task = asyncio.create_task(self._work(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await self._ask()

    async def _work(self, message: Msg) -> None:
        try:
            await self.handle(message)
        except (BusUnavailableError, nats.errors.Error, ConnectionError) as error:
            # The message comes again by itself.
            log.warning("the bus did not answer", subject=message.subject, error=str(error))
        except Exception:
            log.exception("unexpected fault", subject=message.subject)
        task = asyncio.current_task()
        assert task is not None
        self._running.discard(task)
        await self._ask()

    async def _ask(self) -> None:
        """Ask for as many messages as there is room for, if that is worth a request."""
        asked = sum(request.left for request in self._requests)
        room = self.most - len(self._running) - asked
        if room < (max(1, self.most // 2) if asked else 1):
            return
        if self._stopped or not self.nc.is_connected:
            return
        self._requests.append(_Request(room, monotonic() + STANDS_S))
        body = b'{"batch":%d,"expires":%d}' % (room, int(STANDS_S * 1e9))
        try:
            await self.nc.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}", body, reply=self._inbox
            )
        except (nats.errors.Error, ConnectionError) as error:
            log.warning("the bus does not deliver", stream=self.stream, error=str(error))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
