"""Writers that append to loops through `Log.append` and keep what each append was told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from loopwright import subjects
from loopwright.audit import Entry, audit
from loopwright.chain import decode_event, digest
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.events import LoopAdmitted, LoopControlled
from loopwright.loop import Loop
from loopwright.service.bus import Bus
from loopwright.testing import EPOCH, playbook_goal
from loopwright_coordinator.log import Log


def admitted() -> LoopAdmitted:
    """The beginning of a loop that has a long time."""
    goal = playbook_goal()
    deadline = datetime.now(UTC) + timedelta(hours=12)
    return LoopAdmitted(tenant="default", goal=goal, goal_digest=goal.digest(), deadline=deadline)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Where an append was said to be stored."""

    loop: str
    n: int
    seq: int
    head: str


@dataclass
class Record:
    """What each append was told; an append is known by a number of its own."""

    acknowledged: dict[int, Acknowledged] = field(default_factory=dict)
    conflicts: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    count: int = 0

    def event(self) -> tuple[int, LoopControlled]:
        """An event that carries its append's number."""
        self.count += 1
        return self.count, LoopControlled(wake_at=EPOCH + timedelta(microseconds=self.count))


def number(event: LoopControlled) -> int:
    """The number of the append that made an event."""
    assert event.wake_at is not None
    return (event.wake_at - EPOCH) // timedelta(microseconds=1)


async def append_once(log: Log, loop: Loop, record: Record) -> Loop | None:
    """Append one event after the loop and note the answer; the loop after it, if it was stored."""
    tag, data = record.event()
    try:
        after = await log.append(
            loop, loop.id, data, now=datetime.now(UTC), token=None, traceparent=None
        )
    except ConflictError:
        record.conflicts.add(tag)
    except BusUnavailableError:
        record.unknown.add(tag)
    else:
        record.acknowledged[tag] = Acknowledged(loop.id, after.n, after.tip, after.head)
        return after
    return None


async def load(log: Log, loop_id: str) -> Loop | None:
    """The loop as this writer knows it, which may be stale; None while the bus is away."""
    try:
        return await log.load(loop_id, at_least=0)
    except BusUnavailableError:
        return None


async def compete(
    log: Log, loops: Sequence[str], record: Record, acknowledged: int, chance: random.Random
) -> None:
    """Append to loops by chance, along with others, until so many are acknowledged."""
    while len(record.acknowledged) < acknowledged:
        loop = await load(log, chance.choice(loops))
        if loop is not None:
            await append_once(log, loop, record)


async def begin(log: Log, loops: Sequence[str]) -> None:
    """Admit the loops."""
    for loop_id in loops:
        await log.append(
            None, loop_id, admitted(), now=datetime.now(UTC), token=None, traceparent=None
        )


async def stored(bus: Bus, loop_id: str) -> list[Entry]:
    """A loop's log as the stream holds it."""
    return [
        Entry(decode_event(message.body), message.seq, digest(message.body))
        async for message in bus.read(subjects.LOOPS, subjects.loop_events(loop_id), 1)
    ]


async def violations(bus: Bus, loops: Sequence[str], record: Record) -> list[str]:
    """Where the log is not what the writers were told."""
    found: list[str] = []
    places: dict[int, list[Acknowledged]] = {}
    for loop_id in loops:
        entries = await stored(bus, loop_id)
        found += [f"{loop_id}: {sentence}" for sentence in audit(entries)]
        for entry in entries:
            if isinstance(entry.event.data, LoopControlled):
                place = Acknowledged(loop_id, entry.event.n, entry.seq, entry.body_digest)
                places.setdefault(number(entry.event.data), []).append(place)
    twice = [tag for tag, at in places.items() if len(at) > 1]
    found += [f"append {tag} is stored {len(places[tag])} times" for tag in twice]
    found += [
        f"append {tag} was acknowledged at {place}, stored is {places.get(tag)}"
        for tag, place in record.acknowledged.items()
        if places.get(tag) != [place]
    ]
    false = record.conflicts & places.keys()
    return found + [f"append {tag} was called a conflict and is stored" for tag in sorted(false)]
