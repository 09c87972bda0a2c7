"""The loops' log: reading a loop, and the one `append` that anything may use.

An append expects the tip of the fold that decided, never a fresher number. An ambiguous answer is
settled by reading the event's own id back. The cache of folded loops is only a cache: a stale fold
loses its compare-and-set.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from ulid import ULID

from loopwright import subjects
from loopwright.chain import GENESIS, LoopEvent, decode_event, digest, event_type, schema_uri
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.events import EventData
from loopwright.loop import Loop, evolve
from loopwright.objects import Objects
from loopwright.payloads import check_in, check_out
from loopwright.service.bus import Bus, Expect, Stored
from loopwright.service.cache import Cache
from loopwright_coordinator.families import has_family

log = structlog.get_logger()

#: Folded loops kept in memory.
CACHED_LOOPS = 10_000
#: Tries to find out what became of an append whose answer did not come, and seconds between.
READ_BACKS = 40
READ_BACK_S = 0.25


@dataclass(slots=True)
class Log:
    """Reads and appends loops' events on LOOPS."""

    bus: Bus
    objects: Objects
    source: str
    _loops: Cache[str, Loop] = field(default_factory=lambda: Cache(CACHED_LOOPS))

    async def load(self, loop_id: str, *, at_least: int) -> Loop | None:
        """The loop, read at least up to stream sequence `at_least`."""
        known = self._loops.get(loop_id)
        if known is not None and known.tip >= at_least:
            return known
        return await self.load_tip(loop_id)

    async def load_tip(self, loop_id: str) -> Loop | None:
        """The loop up to the stream leader's tip: what a decision to do nothing needs."""
        loop = self._loops.get(loop_id)
        tip = await self.bus.last(subjects.LOOPS, subjects.loop_events(loop_id))
        if tip is None:
            return None
        while loop is None or loop.tip < tip.seq:
            before = loop.tip if loop else 0
            loop = await self._catch_up(loop_id, loop, tip)
            if loop.tip == before:  # a follower that lags answered; ask again
                await asyncio.sleep(READ_BACK_S)
        self._loops.put(loop_id, loop)
        return loop

    async def _catch_up(self, loop_id: str, loop: Loop | None, tip: Stored) -> Loop:
        if loop is not None and loop.n + 1 == await self._position(tip):
            return await self.fold(loop, tip)
        start = loop.tip + 1 if loop else 1
        async for stored in self.bus.read(subjects.LOOPS, subjects.loop_events(loop_id), start):
            loop = await self.fold(loop, stored)
        if loop is None:
            raise BusUnavailableError(f"loop {loop_id}: the log could not be read yet")
        return loop

    async def _position(self, stored: Stored) -> int:
        return decode_event(await check_out(stored.body, self.objects)).n

    async def fold(self, loop: Loop | None, stored: Stored) -> Loop:
        """The loop after one more event; UnreadableError if it cannot be read or cannot follow."""
        body = await check_out(stored.body, self.objects)
        return evolve(loop, decode_event(body), seq=stored.seq, body_digest=digest(body))

    async def append(
        self,
        loop: Loop | None,
        loop_id: str,
        data: EventData,
        *,
        now: datetime,
        token: str | None,
        traceparent: str | None,
    ) -> Loop:
        """Append one event after the loop as it was folded; ConflictError if another was first."""
        event = LoopEvent(
            id=str(ULID()),
            source=self.source,
            type=event_type(data.kind),
            subject=loop_id,
            time=now,
            dataschema=schema_uri("event"),
            traceparent=traceparent,
            n=loop.n + 1 if loop else 0,
            prev=loop.head if loop else GENESIS,
            data=data,
        )
        body = event.encode()
        after = evolve(loop, event, seq=0, body_digest=digest(body))  # refuses before it is written
        seq = await self._publish(event, await check_in(body, self.objects), loop, token)
        after = _stored(after, seq)
        self._loops.put(loop_id, after)
        return after

    async def _publish(
        self, event: LoopEvent, body: bytes, loop: Loop | None, token: str | None
    ) -> int:
        headers = {subjects.ATTEMPT_TOKEN: token} if token else {}
        if event.traceparent:
            headers[subjects.TRACEPARENT] = event.traceparent
        if event.data.warnings:
            headers[subjects.WARNS] = str(len(event.data.warnings))
        if has_family(loop, event.data):
            headers[subjects.FAMILY] = "1"
        every = subjects.loop_events(event.subject)
        expected = loop.tip if loop else 0
        for _ in range(READ_BACKS):
            try:
                return await self.bus.publish(
                    subjects.loop_event(event.subject, event.data.kind),
                    body,
                    stream=subjects.LOOPS,
                    headers=headers,
                    expect=Expect(expected, every),
                )
            except (ConflictError, BusUnavailableError) as error:
                seq = await self._read_back(event, expected, error)
            if seq is not None:
                return seq
        self._loops.drop(event.subject)
        raise BusUnavailableError(f"loop {event.subject}: what became of an append is unknown")

    async def _read_back(self, event: LoopEvent, expected: int, error: Exception) -> int | None:
        """The sequence of our own event if it was stored after all; None to try once more.

        Only the first event after `expected` tells: the newest may already follow ours, and a
        conflict with an event that is still on its way to the replicas may be one with our own.
        """
        every = subjects.loop_events(event.subject)
        try:
            first = await self.bus.next(subjects.LOOPS, every, expected + 1)
        except BusUnavailableError:
            first = None
        if first is None:
            await asyncio.sleep(READ_BACK_S)
            return None
        if _is(first, event.id):
            return first.seq
        self._loops.drop(event.subject)
        raise ConflictError(f"loop {event.subject}: another event came first") from error


def _is(stored: Stored, event_id: str) -> bool:
    """Whether it is this event; the stub of one that travels by reference has its id too."""
    try:
        return bool(json.loads(stored.body)["id"] == event_id)
    except (ValueError, KeyError, TypeError):
        return False


def _stored(loop: Loop, seq: int) -> Loop:
    """The fold with the sequence that the stream gave to its newest event."""
    opened = (
        loop.open.model_copy(update={"seq": seq}) if loop.open and loop.open.seq == 0 else loop.open
    )
    return loop.model_copy(update={"tip": seq, "open": opened})
