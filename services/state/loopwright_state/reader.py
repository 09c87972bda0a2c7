"""The log from a position on: in order, batch after batch, without a consumer.

A consumer would have to be made, and whoever may make one may have the server deliver the log to
any subject. A read of the stream needs no such right, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from loopwright import subjects
from loopwright.direct import Stored, read_batch
from loopwright.errors import BusUnavailableError
from loopwright.service.bus import Bus

#: Events are at most 64 KiB, so that this stays well below what a client may have pending.
BATCH = 128
#: Between two looks for new events, in seconds.
IDLE_S = 0.05
#: An idle reader asks this often whether the log is still the same, in seconds.
CHECK_S = 2.0


@dataclass(slots=True)
class Reader:
    """Reads LOOPS from `next_seq` on."""

    bus: Bus
    next_seq: int
    created: str
    """When the stream was made: another stream of the same name is another log."""
    _looked: float = 0.0

    async def batch(self) -> list[Stored]:
        """The next events, or none after a while; BusUnavailableError where the log is another."""
        found = await read_batch(self.bus.nc, subjects.LOOPS, "loop.>", self.next_seq, batch=BATCH)
        if found:
            self.next_seq = found[-1].seq + 1
            return found
        if monotonic() - self._looked >= CHECK_S:
            await self._look()
        await asyncio.sleep(IDLE_S)
        return []

    async def _look(self) -> None:
        """A log that was replaced, or that lost its end, is to be read anew."""
        info = await self.bus.js.stream_info(subjects.LOOPS)
        self._looked = monotonic()
        if str(info.created) != self.created:
            raise BusUnavailableError("the log was replaced by another; reading it anew")
        if info.state.last_seq < self.next_seq - 1:
            raise BusUnavailableError(
                f"the log ends at {info.state.last_seq}, {self.next_seq - 1} was read; "
                "reading it anew"
            )
