"""The end of a loop whose own log cannot be read: at its deadline it ends, as every loop does.

Until then it is left alone: whatever is missing may be put back. What a newer version wrote is left
to that version for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from loopwright import subjects
from loopwright.chain import digest
from loopwright.errors import LoopwrightError, NewerError, UnreadableError
from loopwright.loop import Loop
from loopwright.objects import ObjectDamagedError, ObjectMissingError
from loopwright_coordinator.core import quarantined
from loopwright_coordinator.log import Log

log = structlog.get_logger()

#: An event that is none or cannot follow, and a payload that is gone or not as it was.
UNREADABLE = (UnreadableError, ObjectMissingError, ObjectDamagedError)


@dataclass(frozen=True, slots=True)
class Readable:
    """A loop as far as its log can be read, at the place where the next event must follow."""

    loop: Loop
    last: str
    """Subject of the log's last event."""


async def end_unreadable(source: Log, loop_id: str, now: datetime, error: LoopwrightError) -> bool:
    """End the loop if its deadline, as far as it is known, has passed; whether it was ended now.

    What it had reserved is charged in full. Raises the error again where nothing can be done.
    """
    if isinstance(error, NewerError):
        raise error
    found = await _readable(source, loop_id)
    if found is None:
        raise error
    if found.last == subjects.loop_event(loop_id, "loop_ended") or now < found.loop.deadline:
        return False
    end = quarantined(found.loop, now, f"its log cannot be read: {error}")
    await source.append(
        found.loop, loop_id, end.data, now=now, token=None, traceparent=found.loop.traceparent
    )
    await source.bus.nc.publish(subjects.stop(loop_id), b"")
    log.error("a loop that cannot be read is ended", loop=loop_id, why=str(error))
    return True


async def _readable(source: Log, loop_id: str) -> Readable | None:
    """The fold of the events before the first that cannot be read, moved to the log's end."""
    loop: Loop | None = None
    skipped, last = 0, None
    async for stored in source.bus.read(subjects.LOOPS, subjects.loop_events(loop_id), 1):
        last = stored
        try:
            loop = loop if skipped else await source.fold(loop, stored)
            skipped += 1 if skipped else 0
        except UNREADABLE:
            skipped = 1
    if loop is None or last is None:
        return None
    update = {"tip": last.seq, "n": loop.n + skipped, "head": digest(last.body)}
    return Readable(loop.model_copy(update=update), last.subject)
