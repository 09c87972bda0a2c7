"""A deterministic world: one heap of events, one seed, and a bus that does what NATS may do.

Nothing here knows a rule of loops. Messages are delivered at least once, late, twice and in any
order; a process may die at any point where it waits; a read may be stale; an answer may get lost
after the message was stored.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.testing import EPOCH

#: A process that waits: it yields the seconds until it goes on.
Process = Generator[float, None, None]


@dataclass(frozen=True, slots=True)
class Faults:
    """How often things go wrong, as probabilities."""

    crash: float = 0.03
    """A process dies where it waits."""
    duplicate: float = 0.05
    """A message is stored twice, or an acknowledgement is lost."""
    lost_answer: float = 0.05
    """A write is stored, its answer does not arrive."""
    unavailable: float = 0.02
    """A write is not stored and its answer does not arrive."""


@dataclass(slots=True)
class Message:
    """A message of a queue."""

    subject: str
    body: Any
    seq: int
    token: str = ""


@dataclass(slots=True)
class World:
    """Time, chance, and the streams."""

    seed: int
    faults: Faults = field(default_factory=Faults)
    random: random.Random = field(init=False)
    now: datetime = EPOCH
    #: Faults stop at this time; what is left must then come to its end.
    calm_after: datetime = EPOCH + timedelta(hours=2)
    heap: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    count: int = 0
    crashes: int = 0
    conflicts: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def chance(self, probability: float) -> bool:
        """Whether a fault happens now."""
        return self.now < self.calm_after and self.random.random() < probability

    def at(self, moment: datetime, act: Callable[[], None]) -> None:
        """Do something at a moment."""
        self.count += 1
        heapq.heappush(self.heap, (max(moment, self.now), self.count, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while."""
        self.at(self.now + timedelta(seconds=seconds), act)

    def run(self, until: Callable[[], bool], steps: int) -> bool:
        """Let time pass until the condition holds; False if it does not within `steps`."""
        for _ in range(steps):
            if until():
                return True
            if not self.heap:
                return until()
            self.now, _, act = heapq.heappop(self.heap)
            act()
        return until()

    def start(self, process: Process, died: Callable[[], None]) -> None:
        """Run a process; where it waits it may die, and `died` is called instead."""

        def go_on() -> None:
            if self.chance(self.faults.crash):
                self.crashes += 1
                process.close()
                died()
                return
            try:
                wait = next(process)
            except StopIteration:
                return
            self.after(wait, go_on)

        go_on()


class Subjects:
    """A stream with compare-and-set on the last sequence of a key."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seq = 0
        self.last: dict[str, int] = {}
        self.stored: dict[str, list[tuple[int, Any]]] = {}

    def publish(self, key: str, body: Any, expected: int | None) -> int:
        """Store, or fail as a bus does: refused, unavailable, or stored without an answer."""
        if self.world.chance(self.world.faults.unavailable):
            raise BusUnavailableError("not stored")
        if expected is not None and self.last.get(key, 0) != expected:
            self.world.conflicts += 1
            raise ConflictError(f"{key} is at {self.last.get(key, 0)}, not {expected}")
        self.seq += 1
        self.last[key] = self.seq
        self.stored.setdefault(key, []).append((self.seq, body))
        if self.world.chance(self.world.faults.lost_answer):
            raise BusUnavailableError("stored")
        return self.seq


class Queue:
    """A durable consumer: delivers to a handler until acknowledged, again after `ack_wait_s`."""

    def __init__(
        self,
        world: World,
        handle: Callable[[Message, int, Callable[[], None]], Process],
        ack_wait_s: float,
        *,
        ack_last: bool = True,
    ) -> None:
        self.world, self.handle, self.ack_wait_s = world, handle, ack_wait_s
        self.ack_last = ack_last
        self.seq = 0
        self.pending: dict[int, Message] = {}

    def put(self, subject: str, body: Any, *, seq: int | None = None, token: str = "") -> None:
        """Store a message, now and then twice, and deliver it after a while."""
        for _ in range(2 if self.world.chance(self.world.faults.duplicate) else 1):
            self.seq += 1
            self.pending[self.seq] = Message(subject, body, seq or self.seq, token)
            self._deliver_later(self.seq, 0, self.world.random.expovariate(20))

    def _deliver_later(self, ticket: int, deliveries: int, seconds: float) -> None:
        self.world.after(seconds, lambda: self._deliver(ticket, deliveries + 1))

    def _deliver(self, ticket: int, deliveries: int) -> None:
        message = self.pending.get(ticket)
        if message is None:
            return

        def ack() -> None:
            if not self.world.chance(self.world.faults.duplicate):
                self.pending.pop(ticket, None)

        if not self.ack_last:
            ack()
        process = self.handle(message, deliveries, ack)
        self.world.start(process, lambda: None)
        self._deliver_later(ticket, deliveries, self.ack_wait_s)
