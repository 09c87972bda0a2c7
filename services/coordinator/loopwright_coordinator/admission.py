"""Admission: a goal becomes a loop once, whatever is delivered twice or lost on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog
from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.budget import Price
from loopwright.errors import ConflictError, Fault, GoalInvalidError, UnreadableError
from loopwright.events import LoopAdmitted
from loopwright.goal import Goal, parse_goal
from loopwright.ids import loop_id_for
from loopwright.loop import Loop
from loopwright.service.intake import RetryLaterError
from loopwright.service.tracing import Tracing, traceparent
from loopwright_coordinator.answers import answer
from loopwright_coordinator.inputs import Begin, Decision, Input
from loopwright_coordinator.log import Log
from loopwright_coordinator.prices import price_of, prices_of
from loopwright_coordinator.quotas import Quotas

log = structlog.get_logger()

Settle = Callable[[str, Input], Awaitable[tuple[Loop, Decision] | None]]


@dataclass(frozen=True, slots=True)
class Admission:
    """Validates goals and appends the first event of their loops."""

    log: Log
    tracing: Tracing
    max_usd: Decimal | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    quotas: Quotas | None = None

    async def handle(self, message: Msg, settle: Settle) -> None:
        """Admit one submitted goal. An invalid one uses up no id and is a dead letter."""
        tenant = message.subject.rsplit(".", 1)[-1]
        try:
            goal = parse_goal(message.data, packed=True)
            loop_id = goal.id or _id_from(message, tenant)
            duplicate = await self._admit(message, goal, loop_id, tenant)
        except GoalInvalidError as error:
            faults = [fault.model_dump(exclude_none=True) for fault in error.faults]
            refusal = {"accepted": False, "loop": None, "faults": faults, "duplicate": False}
            await answer(self.log.bus, message, refusal)
            raise UnreadableError(f"the goal is invalid: {error}") from error
        except RetryLaterError:
            queued = {"accepted": True, "loop": loop_id, "faults": [], "duplicate": False}
            await answer(self.log.bus, message, {**queued, "queued": True})
            raise
        await settle(loop_id, Begin(self.max_usd))
        accepted = {"accepted": True, "loop": loop_id, "faults": [], "duplicate": duplicate}
        await answer(self.log.bus, message, accepted)

    async def _admit(self, message: Msg, goal: Goal, loop_id: str, tenant: str) -> bool:
        """Append `loop_admitted`; True where the same goal was admitted before."""
        existing = await self.log.load_tip(loop_id)
        if existing is None:
            if self.quotas is not None:
                await self.quotas.admit(tenant, loop_id, goal)
            try:
                await self._append(message, goal, loop_id, tenant)
            except ConflictError:
                existing = await self.log.load_tip(loop_id)
            else:
                return False
        if existing is not None and existing.tenant != tenant and self.quotas is not None:
            # Leased when the id was still free, perhaps by who crashed then: no end will return it.
            await self.quotas.unlease(tenant, loop_id)
        if existing is None or existing.tenant != tenant or existing.goal_digest != goal.digest():
            fault = Fault(
                path="id", message=f"'{loop_id}' is the id of another goal; take a new one"
            )
            raise GoalInvalidError([fault])
        return True

    async def _append(self, message: Msg, goal: Goal, loop_id: str, tenant: str) -> None:
        now = datetime.now(UTC)
        parent = (message.headers or {}).get(subjects.TRACEPARENT)
        with self.tracing.span("loop", parent, {"loopwright.loop": loop_id}) as span:
            admitted = LoopAdmitted(
                tenant=tenant,
                goal=goal,
                goal_digest=goal.digest(),
                deadline=now + timedelta(seconds=goal.budget.time),
                price=price_of(goal, self.prices),
                prices=prices_of(goal, self.prices),
            )
            context = traceparent(span)
            await self.log.append(None, loop_id, admitted, now=now, token=None, traceparent=context)
        log.info("admitted", loop=loop_id, tenant=tenant, goal=goal.name)


def _id_from(message: Msg, tenant: str) -> str:
    """The id of a goal that names none; a redelivery of the message gets the same."""
    meta = message.metadata
    return loop_id_for(meta.timestamp, tenant, str(meta.sequence.stream), message.data.hex())
