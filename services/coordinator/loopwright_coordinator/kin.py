"""What one loop's event means to another: children are started, ended with their parent, told of.

Driven by a durable consumer of the log, never by a second publish after an append. Everything here
may happen again, or late: a child has one id, a word to it one effect, its end is taken in once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.budget import Price
from loopwright.chain import decode_event
from loopwright.errors import ConflictError, UnreadableError
from loopwright.events import LoopAdmitted, LoopHeld
from loopwright.family import Parent, Spawned
from loopwright.loop import Loop
from loopwright.payloads import check_out
from loopwright.service.tracing import Tracing, traceparent
from loopwright.workspace.bundles import share_bundles
from loopwright_coordinator.admission import Settle
from loopwright_coordinator.families import end_of, told
from loopwright_coordinator.inputs import Begin, ChildEnded, ControlArrived
from loopwright_coordinator.log import Log
from loopwright_coordinator.prices import price_of, prices_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kin:
    """Carries events between parents and children."""

    log: Log
    tracing: Tracing
    prices: Mapping[str, Price] = field(default_factory=dict)

    async def handle(self, message: Msg, settle: Settle) -> None:
        """Do what an event of a parent or a child means to the other."""
        if subjects.FAMILY not in (message.headers or {}):
            return
        event = decode_event(await check_out(message.data, self.log.objects))
        if isinstance(event.data, LoopHeld):
            for index, child in enumerate(event.data.children):
                parent = Parent(loop=event.subject, n=event.n, index=index)
                await self._start(parent, child, settle)
        loop = await self._cascade(event.subject, settle)
        if loop.ended is not None and loop.parent is not None:
            await settle(loop.parent.loop, ChildEnded(end_of(loop)))
            await self._cascade(loop.parent.loop, settle)

    async def _start(self, parent: Parent, child: Spawned, settle: Settle) -> None:
        """Admit a child, unless its parent has ended, and begin it."""
        above = await self._loop(parent.loop)
        if await self.log.load_tip(child.id) is None:
            if above.ended is not None:
                log.info("not started: its parent has ended", loop=child.id, parent=above.id)
                return
            await self._admit(above, parent, child)
        await settle(child.id, Begin())

    async def _admit(self, above: Loop, parent: Parent, child: Spawned) -> None:
        goal, now = child.goal, datetime.now(UTC)
        for revision in (goal.workspace.revision, goal.verify.held_out):
            if revision is not None:
                await share_bundles(self.log.objects, above.id, child.id, revision)
        with self.tracing.span("loop", above.traceparent, {"loopwright.loop": child.id}) as span:
            admitted = LoopAdmitted(
                tenant=above.tenant,
                goal=goal,
                goal_digest=goal.digest(),
                deadline=min(above.deadline, now + timedelta(seconds=goal.budget.time)),
                price=price_of(goal, self.prices),
                prices=prices_of(goal, self.prices),
                parent=parent,
            )
            context = traceparent(span)
            try:
                await self.log.append(
                    None, child.id, admitted, now=now, token=None, traceparent=context
                )
            except ConflictError:  # another replica was first
                return
        log.info("admitted", loop=child.id, tenant=above.tenant, parent=above.id)

    async def _cascade(self, loop_id: str, settle: Settle) -> Loop:
        """Tell each child what its parent's state means to it, until that state stays."""
        loop = await self._loop(loop_id)
        while loop.children:
            for child in loop.children:
                word = told(loop, child, await self._running(loop, child.id))
                if word is not None:
                    await settle(child.id, ControlArrived(word))
            before, loop = loop, await self._loop(loop_id)
            if loop.tip == before.tip:
                break
        return loop

    async def _running(self, loop: Loop, child_id: str) -> Loop | None:
        """The child, where it may still have to be told something."""
        known = next(child for child in loop.children if child.id == child_id)
        if known.end is not None and loop.ended is None:
            return None
        return await self.log.load_tip(child_id)

    async def _loop(self, loop_id: str) -> Loop:
        loop = await self.log.load_tip(loop_id)
        if loop is None:
            raise UnreadableError(f"loop {loop_id}: there is no such loop")
        return loop
