"""From the end of a loop to what is kept of it; any number of replicas may."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.audit import Entry
from loopwright.chain import decode_event, digest
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.objects import Objects
from loopwright.payloads import check_out
from loopwright.service.bus import Bus
from loopwright.service.consumers import LEARNER
from loopwright.service.intake import Intake, RetryLaterError
from loopwright.service.metrics import Metrics
from loopwright.service.tracing import Tracing
from loopwright_state.lessons import learned
from loopwright_state.memories import Memories
from loopwright_state.story import Story

log = structlog.get_logger()

#: Before a log that a lagging replica of the stream gave without its end is read again, in seconds.
AGAIN_S = 0.5


async def story_of(bus: Bus, objects: Objects, loop: str) -> Story:
    """A loop's story from its log; without a loop where there is none."""
    story = Story()
    async for stored in bus.read(subjects.LOOPS, subjects.loop_events(loop), 1):
        body = await check_out(stored.body, objects)
        story.add(Entry(decode_event(body), stored.seq, digest(body)))
    return story


@dataclass(slots=True)
class Learner:
    """Keeps what ended loops have taught."""

    bus: Bus
    objects: Objects
    metrics: Metrics
    memories: Memories
    tracing: Tracing
    life: timedelta | None = None
    """How long a memory is told to others."""

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until stopped."""
        intake = Intake(self.bus, subjects.LOOPS, LEARNER, self.on_end, self.metrics, 4)
        await intake.run(stop)

    async def on_end(self, message: Msg) -> None:
        """Keep what one ended loop has taught; of a log that cannot be read, nothing is learned."""
        loop = message.subject.split(".")[1]
        try:
            story = await story_of(self.bus, self.objects, loop)
        except BusUnavailableError:
            raise
        except LoopwrightError as error:
            log.warning("nothing is learned of a loop", loop=loop, why=str(error))
            return
        if story.loop is None or story.loop.ended_at is None:
            raise RetryLaterError(f"the log of {loop} is not read to its end", AGAIN_S)
        with self.tracing.span("state", story.loop.traceparent, {"loopwright.loop": loop}):
            found = learned(story, story.loop.ended_at, self.life)
            kept = [item.id for item in found if await self.memories.keep(item)]
            log.info("learned", loop=loop, kept=len(kept), known=len(found) - len(kept))
