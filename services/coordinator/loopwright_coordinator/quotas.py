"""Tenants' quotas around the log: leased before a loop is admitted, returned when it has ended.

Nothing here is kept in memory, and a tenant without a quota costs one read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.budget import NOTHING
from loopwright.control import Amend
from loopwright.errors import Fault, GoalInvalidError, UnreadableError
from loopwright.events import LoopEnded
from loopwright.goal import Goal, OpenAI
from loopwright.loop import Loop
from loopwright.records import Records
from loopwright.service.intake import RetryLaterError
from loopwright.spawn import SPAWN_TOOL
from loopwright.tenant import Quota, Refused, Tenant, Wait, Wanted, admit, extend, release
from loopwright.tenants import Tenants
from loopwright_coordinator.log import Log


def wanted(goal: Goal) -> Wanted:
    """What a goal may spend at most; None where it may spend and sets no limit."""
    kinds = {str(check.kind) for check in goal.verify.checks}
    starts_loops = goal.pattern is not None or SPAWN_TOOL in goal.tools
    models = isinstance(goal.planner, OpenAI) or "judge" in kinds or starts_loops
    none = None if models else 0
    cost, tokens = goal.budget.cost_microusd, goal.budget.tokens
    return Wanted(none if tokens is None else tokens, none if cost is None else cost)


@dataclass(frozen=True, slots=True)
class Quotas:
    """The TENANTS stream as the coordinator uses it."""

    log: Log

    @property
    def _records(self) -> Records[Tenant]:
        return Tenants(self.log.bus.nc).records

    async def admit(self, name: str, loop_id: str, goal: Goal) -> None:
        """Lease a goal's budget; RetryLaterError if it must wait, GoalInvalidError if for ever."""
        answer: Tenant | Wait | Refused | None = None

        def change(known: Tenant | None) -> Tenant | None:
            nonlocal answer
            if known is None or _unlimited(known):
                answer = None
                return None
            answer = admit(known, loop_id, wanted(goal), datetime.now(UTC))
            return answer if isinstance(answer, Tenant) else None

        await self._records.change(subjects.tenant(name), change)
        if isinstance(answer, Refused):
            raise GoalInvalidError([Fault(path=answer.path, message=answer.why)])
        if isinstance(answer, Wait):
            raise RetryLaterError(f"loop {loop_id} waits: {answer.why}", answer.after_s)

    async def unlease(self, name: str, loop_id: str) -> None:
        """Take back the lease of a goal that can never become this tenant's loop."""
        now = datetime.now(UTC)
        await self._records.change(
            subjects.tenant(name), lambda known: known and release(known, loop_id, NOTHING, now)
        )

    async def extend(self, loop: Loop, amend: Amend) -> str | None:
        """Lease what an amendment adds; why that cannot be, if so."""
        budget = loop.budget.model_copy(update=amend.budget.model_dump(exclude_none=True))
        asked = wanted(loop.goal.model_copy(update={"budget": budget}))
        answer: Tenant | Refused | None = None

        def change(known: Tenant | None) -> Tenant | None:
            nonlocal answer
            answer = known and extend(known, loop.id, asked, datetime.now(UTC))
            return answer if isinstance(answer, Tenant) else None

        await self._records.change(subjects.tenant(loop.tenant), change)
        return answer.why if isinstance(answer, Refused) else None

    async def on_ended(self, message: Msg) -> None:
        """Return what an ended loop did not spend; doing it twice is doing it once."""
        loop_id = message.subject.split(".")[1]
        loop = await self.log.load(loop_id, at_least=message.metadata.sequence.stream)
        if loop is None or loop.ended is None:
            raise UnreadableError(f"loop {loop_id}: {LoopEnded.__name__} is not its end")
        spent, at = loop.spent, loop.ended_at or loop.updated_at
        await self._records.change(
            subjects.tenant(loop.tenant),
            lambda known: known and release(known, loop_id, spent, at),
        )


def _unlimited(tenant: Tenant) -> bool:
    return tenant.quota == Quota()
