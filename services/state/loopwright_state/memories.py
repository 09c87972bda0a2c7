"""The memories of all tenants, followed from the MEMORY stream; each replica has all of them.

The stream is the truth, so nothing is lost with the store, and what is forgotten stays so.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

import nats.errors
import nats.js.errors
import structlog
from pydantic import ValidationError

from loopwright import subjects
from loopwright.direct import Stored, read_batch
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.memory import RECORD, Forgotten, Kept
from loopwright.service.bus import Bus, Expect
from loopwright.service.intake import pause

log = structlog.get_logger()

BATCH = 256
#: Between two looks for new records, and after the bus was away, in seconds.
IDLE_S, RETRY_S = 0.25, 1.0
#: An idle follower asks this often whether the stream is still the same, in seconds.
CHECK_S = 2.0


@dataclass(slots=True)
class Memories:
    """What is kept, by tenant."""

    bus: Bus
    whole: bool = False
    """Everything that was stored when it began has been read."""
    _kept: defaultdict[str, dict[str, Kept]] = field(default_factory=lambda: defaultdict(dict))
    _next: int = 1
    _created: str = ""
    _looked: float = 0.0

    def of(self, tenant: str) -> list[Kept]:
        """A tenant's memories, the newest first."""
        kept = self._kept[tenant].values() if tenant in self._kept else ()
        return sorted(kept, key=lambda item: (item.at, item.id), reverse=True)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the stream until stopped."""
        while not stop.is_set():
            try:
                await self._look()
                found = await read_batch(
                    self.bus.nc, subjects.MEMORY, "memory.*.*", self._next, batch=BATCH
                )
            except (BusUnavailableError, nats.errors.Error, nats.js.errors.Error) as error:
                log.warning("the memories cannot be followed", error=str(error))
                await pause(stop, RETRY_S)
                continue
            for item in found:
                self.take(item)
            if not found:
                self.whole = True
                await pause(stop, IDLE_S)

    async def _look(self) -> None:
        """A stream that was replaced, or restored from an old copy, is read anew."""
        if self._looked and monotonic() - self._looked < CHECK_S:
            return
        info = await self.bus.js.stream_info(subjects.MEMORY)
        self._looked = monotonic()
        created = str(info.created)
        if created != self._created or info.state.last_seq < self._next - 1:
            self._kept.clear()
            self._next, self._created, self.whole = 1, created, False

    def take(self, stored: Stored) -> None:
        """Take in a record; the tenant is the subject's, whatever the body says."""
        self._next = max(self._next, stored.seq + 1)
        try:
            record = RECORD.validate_json(stored.body)
        except ValidationError as error:
            log.warning(
                "a memory cannot be read", subject=stored.subject, faults=error.error_count()
            )
            return
        if stored.subject != subjects.memory(record.tenant, record.id):
            log.warning("a memory stands on the subject of another", subject=stored.subject)
            return
        match record:
            case Kept():
                self._kept[record.tenant][record.id] = record
            case Forgotten():
                self._kept[record.tenant].pop(record.id, None)

    async def keep(self, memory: Kept) -> bool:
        """Store a memory; False where it is stored already, or was forgotten."""
        subject = subjects.memory(memory.tenant, memory.id)
        try:
            await self.bus.publish(
                subject,
                memory.model_dump_json(exclude_none=True).encode(),
                stream=subjects.MEMORY,
                expect=Expect(0, subject),
            )
        except ConflictError:
            return False
        return True

    async def forget(self, tenant: str, memory_id: str, now: datetime) -> bool:
        """Put the record of its forgetting in a memory's place; False if there is no memory."""
        subject = subjects.memory(tenant, memory_id)
        if await self.bus.last(subjects.MEMORY, subject) is None:
            return False
        body = Forgotten(id=memory_id, tenant=tenant, at=now).model_dump_json().encode()
        await self.bus.publish(subject, body, stream=subjects.MEMORY)
        self._kept[tenant].pop(memory_id, None)
        return True
