"""A tenant's quota in the simulation: leases by compare-and-set around the real `tenant.py`.

What the product's `quotas.py` does: leased before a loop is admitted, given back when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loopwright.budget import NOTHING, Amount, microusd
from loopwright.control import Amend
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.tenant import Quota, Refused, Tenant, admit, extend, release
from loopwright_coordinator.quotas import wanted
from simulation.world import Message, Process, Subjects

if TYPE_CHECKING:
    from simulation.cluster import Cluster

NAME = "default"


@dataclass(slots=True)
class Tenants:
    """The one tenant's record; every loop of the world is its."""

    cluster: Cluster
    quota: Quota
    records: Subjects = field(init=False)
    refused: set[str] = field(default_factory=set)
    """Loops whose goals can never fit."""

    def __post_init__(self) -> None:
        self.records = Subjects(self.cluster.world)
        record = Tenant(tenant=NAME, quota=self.quota)
        self.records.stored[NAME] = [(0, record)]

    @property
    def record(self) -> Tenant:
        """As the leader has it."""
        stored: Tenant = self.records.stored[NAME][-1][1]
        return stored

    def _change(self, change: Callable[[Tenant], Tenant | None]) -> Generator[float, None, bool]:
        """Change the record by compare-and-set; False where nobody knows what came of it."""
        while True:
            seq, record = self.records.stored[NAME][-1]
            after = change(record)
            if after is None or after is record:
                return True
            yield self.cluster.world.random.expovariate(20)
            try:
                self.records.publish(NAME, after, seq if self.cluster.rules.lease_by_cas else None)
            except ConflictError:
                continue
            except BusUnavailableError:
                return False
            self.cluster.meters.counts["leases"] += 1
            return True

    def admit(self, loop_id: str, goal: Goal) -> Generator[float, None, bool]:
        """Lease a goal's budget; False if its loop is not to be admitted now."""
        if not self.cluster.rules.lease_first:
            return True
        leased = False

        def change(record: Tenant) -> Tenant | None:
            nonlocal leased
            answer = admit(record, loop_id, wanted(goal), self.cluster.world.now)
            leased = isinstance(answer, Tenant)
            if isinstance(answer, Refused):
                self.refused.add(loop_id)
            return answer if isinstance(answer, Tenant) else None

        known = yield from self._change(change)
        return known and leased

    def extend(self, loop: Loop, amend: Amend) -> Generator[float, None, bool]:
        """Lease what an amendment adds; False where the quota does not cover it."""
        budget = loop.budget.model_copy(update=amend.budget.model_dump(exclude_none=True))
        asked = wanted(loop.goal.model_copy(update={"budget": budget}))
        covered = False

        def change(record: Tenant) -> Tenant | None:
            nonlocal covered
            answer = extend(record, loop.id, asked, self.cluster.world.now)
            covered = isinstance(answer, Tenant)
            return answer if isinstance(answer, Tenant) else None

        known = yield from self._change(change)
        return known and covered

    def on_ended(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """Give back what an ended loop did not spend; twice is once."""
        loop = self.cluster.log.fold(message.subject, {})
        assert loop is not None
        spent, at = loop.spent, loop.ended_at or loop.updated_at

        def change(record: Tenant) -> Tenant | None:
            if not self.cluster.rules.return_once and loop.id not in record.leases:
                record = record.model_copy(update={"leases": {**record.leases, loop.id: NOTHING}})
            return release(record, loop.id, spent, at)

        if (yield from self._change(change)):
            ack()

    def violations(self, used: Amount) -> list[str]:
        """What all loops together were charged and hold is within the caps, at every step."""
        found, quota = [], self.quota
        if quota.usd_total is not None and used.cost_microusd > microusd(quota.usd_total):
            found.append(f"tenant: {used.cost_microusd} micro-dollars, may spend {quota.usd_total}")
        if quota.tokens_total is not None and used.tokens > quota.tokens_total:
            found.append(f"tenant: {used.tokens} tokens, may spend {quota.tokens_total}")
        return found

    def in_the_end(self, roots: list[Loop]) -> list[str]:
        """Every lease is given back, and the record says what its loops have spent."""
        record, spent = self.record, sum((loop.spent for loop in roots), NOTHING)
        found = [f"tenant: the lease of {loop} was not given back" for loop in record.leases]
        tokens, total = record.total.tokens, record.total
        if (tokens, total.cost_microusd) != (spent.tokens, spent.cost_microusd):
            found.append(f"tenant: its record says {total}, its loops have spent {spent}")
        return found
