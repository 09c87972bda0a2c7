"""A provider that is down now and then, and the breaker in front of it, around its real rules.

What the product's `gate.py` and `dependencies.py` do: read at the leader right before each call,
take a probe by compare-and-set, report how the call ended, tell those who wait.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loopwright.breaker import Breaker, Holder, Probe, Refuse, Word, ask, is_down, report, wait_s
from loopwright.errors import BusUnavailableError, ConflictError, ErrorInfo, ErrorKind
from loopwright.events import EventData, Grant, LoopHeld
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.service.gate import TRIES, word_of
from loopwright.testing import EPOCH
from loopwright_coordinator.breakers import UP, dependencies
from loopwright_coordinator.dependencies import FRESH_S
from simulation.world import Process, Queue, Subjects, World

if TYPE_CHECKING:
    from simulation.cluster import Cluster

#: Between the look at a breaker and the call there is this at most, in seconds.
LOOK_S = 2.0
#: Of the seconds between a look at a breaker and the taking of its probe, on a bus that is slow.
TAKING = 1.0
#: What a provider that is down says.
ILL_KINDS: tuple[ErrorKind, ...] = ("network", "overloaded", "timeout")


@dataclass(frozen=True, slots=True)
class Call:
    """A probe that is in flight."""

    holder: Holder
    grant_seq: int


@dataclass(slots=True)
class Outages:
    """The provider's own view: when it is down, and who calls it then."""

    cluster: Cluster
    changes: Queue
    records: Subjects = field(init=False)
    when: list[tuple[datetime, datetime]] = field(init=False)
    since: dict[str, datetime] = field(default_factory=dict)
    """When the newest change of a breaker's state was stored."""
    probes: dict[str, Call] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        self.records, self.when, at = Subjects(world), [], world.now
        for _ in range(world.random.randint(1, 3)):
            at += timedelta(seconds=world.random.uniform(0, 120))
            until = at + timedelta(seconds=world.random.uniform(20, 200))
            self.when.append((at, until))
            at = until

    @property
    def world(self) -> World:
        return self.cluster.world

    def get(self, dependency: str) -> tuple[Breaker, int]:
        """The breaker as the leader has it."""
        stored = self.records.stored.get(dependency)
        if not stored:
            return Breaker(dependency=dependency), 0
        return stored[-1][1], stored[-1][0]

    def _put(self, record: Breaker, expected: int | None) -> None:
        before = self.records.seq
        try:
            self.records.publish(record.dependency, record, expected)
        finally:
            if self.records.seq > before and record.changes:
                self.since[record.dependency] = self.world.now
                self.cluster.meters.counts[f"breaker {record.state}"] += 1
                if record.state == "closed":
                    self.changes.put(record.dependency, None)

    def closed_since(self, dependency: str) -> datetime | None:
        """Since when everybody may call; None where not everybody may."""
        record, _ = self.get(dependency)
        if record.state != "closed" or is_down(record, self.world.now) is not None:
            return None
        since = self.since.get(dependency, EPOCH)
        return max(since, record.throttled_until or since)

    # Workers

    def enter(self, dependency: str, holder: Holder) -> Generator[float, None, ErrorInfo | None]:
        """Why a call must not be made, if so."""
        if not self.cluster.rules.look_before_the_call:
            return None
        for _ in range(TRIES):
            record, seq = self.get(dependency)
            answer = ask(record, holder, self.world.now)
            if isinstance(answer, Refuse):
                self.cluster.meters.counts["refused calls"] += 1
                return self._refusal(dependency, holder, answer)
            if not isinstance(answer, Probe):
                return None
            yield self.world.random.expovariate(TAKING)
            try:
                self._put(answer.record, seq if self.cluster.rules.one_probe else None)
            except (ConflictError, BusUnavailableError):
                continue
            return None
        return ErrorInfo(kind="network", message="the breaker cannot be read")

    def _refusal(self, dependency: str, holder: Holder, refused: Refuse) -> ErrorInfo:
        return ErrorInfo(
            kind="rate_limited" if refused.throttled else "dependency_down",
            message=refused.why,
            retry_after_s=wait_s(refused, holder.loop, self.world.now),
            dependency=dependency,
        )

    def begins(self, dependency: str, holder: Holder, grant_seq: int) -> None:
        """A call arrives at the provider: only a probe may, long after the breaker opened."""
        record, _ = self.get(dependency)
        if record.state == "closed":
            return
        found, mine = self.cluster.meters.violations, holder.same(record.probe)
        if not mine and self.world.now - self.since[dependency] > timedelta(seconds=LOOK_S):
            found.append(f"breaker: {dependency} is {record.state}, {holder} calls it")
        if not mine:
            return
        other = self.probes.get(dependency)
        if other is not None and self._in_flight(other):
            found.append(f"breaker: {holder} probes {dependency} while {other.holder} does")
        self.probes[dependency] = Call(holder, grant_seq)
        self.cluster.meters.counts["probes"] += 1

    def _in_flight(self, call: Call) -> bool:
        """Until its grant is settled or its deadline has come."""
        loop = self.cluster.log.fold(call.holder.loop, {})
        granted = loop is not None and loop.open is not None and loop.open.seq == call.grant_seq
        return granted and self.world.now < call.holder.deadline

    def answers(self) -> ErrorInfo | None:
        """How a call ends: well, or as the provider's state has it."""
        now, random = self.world.now, self.world.random
        if not any(start <= now < end for start, end in self.when):
            return None
        chance = random.random()
        if chance < 0.1:
            return ErrorInfo(kind="rate_limited", message="wait", retry_after_s=20.0)
        if chance < 0.2:  # what a person must mend, while the breaker opens for the others
            return ErrorInfo(kind="auth", message="no key is known")
        return ErrorInfo(kind=random.choice(ILL_KINDS), message="down")

    def leaves(self, dependency: str, holder: Holder, info: ErrorInfo | None) -> Process:
        """Report how a call ended."""
        call = self.probes.get(dependency)
        if call is not None and call.holder == holder:
            del self.probes[dependency]
        word = word_of(info) if info is not None else "answered"
        yield from self._report(dependency, holder, word, info)

    def _report(
        self, dependency: str, holder: Holder, word: Word, info: ErrorInfo | None = None
    ) -> Process:
        detail, wait = (info.kind, info.retry_after_s) if info else ("", None)
        while True:
            before, seq = self.get(dependency)
            after = report(before, holder, word, detail, self.world.now, retry_after_s=wait)
            if after is before:
                return
            yield self.world.random.expovariate(200)
            try:
                self._put(after, seq)
            except ConflictError:
                continue
            except BusUnavailableError:
                pass  # the probe's deadline speaks
            return

    # Coordinators

    def down(self, goal: Goal, up: dict[str, datetime]) -> Mapping[str, Refuse]:
        """Which dependencies are down, as a coordinator knows it; `up` is what it remembers."""
        now, fresh = self.world.now, timedelta(seconds=FRESH_S)
        found = {}
        for name in dependencies(goal):
            if name in up and now - up[name] <= fresh:
                continue
            refused = is_down(self.get(name)[0], now)
            if refused is None:
                up[name] = now
            else:
                found[name] = refused
        return found or UP

    def released(self, before: Loop, data: EventData) -> Process:
        """An attempt was closed without its worker's word: a probe is over with it."""
        settles, opened = data.settles, before.open
        if settles is None or opened is None or settles.status in ("done", "failed"):
            return
        for model in opened.grant.models:
            yield from self._report(f"llm:{model}", holder_of(before.id, opened.grant), "unknown")

    def back(self, data: EventData) -> str | None:
        """The dependency that a hold waits for, where it is back already."""
        if not isinstance(data, LoopHeld) or data.dependency is None:
            return None
        record, _ = self.get(data.dependency)
        closed = record.state == "closed" and is_down(record, self.world.now) is None
        return data.dependency if closed else None


def holder_of(loop_id: str, grant: Grant) -> Holder:
    """The attempt that a grant lets somebody make."""
    return Holder(
        loop=loop_id,
        role=grant.role,
        iteration=grant.iteration,
        attempt=grant.attempt,
        deadline=grant.deadline,
    )
