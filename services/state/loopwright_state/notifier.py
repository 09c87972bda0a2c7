"""Telling people, at least once and never in the way of a loop.

From the log to a queue, one message for each target; from the queue to the target, tried again
until it answers. So a receiver that is down costs its own notifications only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.chain import decode_event
from loopwright.errors import UnreadableError
from loopwright.events import LoopAdmitted
from loopwright.notify import NoticeKind
from loopwright.objects import Objects
from loopwright.payloads import check_out
from loopwright.service.bus import Bus
from loopwright.service.cache import Cache
from loopwright.service.consumers import NOTIFIER
from loopwright.service.intake import Intake, RetryLaterError
from loopwright.service.metrics import Metrics
from loopwright_state.notices import Letter, Target, notifications, targets
from loopwright_state.webhooks import Deliveries, NotDeliveredError, UndeliverableError

log = structlog.get_logger()

#: The first wait before another try, and the longest, in seconds.
RETRY_S, MAX_RETRY_S = 1.0, 3600.0
#: After this a notification is a dead letter.
PATIENCE = timedelta(hours=24)
#: Events that are news whether they warn or not.
ALWAYS_NEWS = frozenset({"loop_held", "loop_ended"})
#: So many deliveries to one receiver at once: a slow one does not take all places.
AT_ONCE = 4


def _is_news(message: Msg) -> bool:
    """Whether it is worth to be read: of most events only the warnings are news."""
    kind = message.subject.rsplit(".", 1)[-1]
    return kind in ALWAYS_NEWS or subjects.WARNS in (message.headers or {})


@dataclass(slots=True)
class Notifier:
    """Reads the news and delivers it; any number of replicas may."""

    bus: Bus
    objects: Objects
    metrics: Metrics
    deliveries: Deliveries
    everyone: tuple[Target, ...] = ()
    """Told of every loop, by the settings."""
    on: tuple[NoticeKind, ...] = ()
    """What they are told of."""
    retry_s: float = RETRY_S
    _admitted: Cache[str, LoopAdmitted] = field(default_factory=lambda: Cache(1000))
    _busy: Counter[str] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        """Read and deliver until stopped."""
        news = Intake(self.bus, subjects.LOOPS, NOTIFIER, self.on_event, self.metrics, 16)
        post = Intake(self.bus, subjects.NOTIFY, NOTIFIER, self.on_letter, self.metrics, 32)
        async with asyncio.TaskGroup() as group:
            group.create_task(news.run(stop))
            group.create_task(post.run(stop))

    async def on_event(self, message: Msg) -> None:
        """Put one message into the queue for each notification and target."""
        if not _is_news(message):
            return
        event = decode_event(await check_out(message.data, self.objects))
        admitted = await self._beginning(event.subject)
        for notification in notifications(event, admitted):
            wanted = [*targets(notification, admitted)]
            if notification.kind in self.on:
                wanted += self.everyone
            for number, target in enumerate(wanted):
                await self.bus.publish(
                    subjects.notification(notification.loop, notification.kind),
                    Letter(to=target, body=notification).model_dump_json().encode(),
                    stream=subjects.NOTIFY,
                    headers={"Nats-Msg-Id": f"{notification.id}-{number}"},
                )

    async def _beginning(self, loop: str) -> LoopAdmitted:
        known = self._admitted.get(loop)
        if known is not None:
            return known
        stored = await self.bus.last(subjects.LOOPS, subjects.loop_event(loop, "loop_admitted"))
        if stored is None:
            raise UnreadableError(f"loop {loop}: the log holds no goal")
        data = decode_event(await check_out(stored.body, self.objects)).data
        assert isinstance(data, LoopAdmitted)
        self._admitted.put(loop, data)
        return data

    async def on_letter(self, message: Msg) -> None:
        """Deliver one notification to its target, or try again later."""
        letter = Letter.model_validate_json(message.data)
        receiver = letter.to.webhook or "command"
        if self._busy[receiver] >= AT_ONCE:
            raise RetryLaterError(f"{receiver} is busy", self.retry_s)
        self._busy[receiver] += 1
        try:
            await self.deliveries.deliver(letter.to, letter.body)
        except UndeliverableError as error:
            raise UnreadableError(f"notification {letter.body.id}: {error}") from error
        except NotDeliveredError as error:
            meta = message.metadata
            if datetime.now(UTC) - meta.timestamp > PATIENCE:
                raise UnreadableError(
                    f"notification {letter.body.id}: given up: {error}"
                ) from error
            wait = min(self.retry_s * 2 ** ((meta.num_delivered or 1) - 1), MAX_RETRY_S)
            raise RetryLaterError(f"notification {letter.body.id}: {error}", wait) from error
        finally:
            self._busy[receiver] -= 1
        log.info("told", notification=letter.body.id, receiver=receiver)
