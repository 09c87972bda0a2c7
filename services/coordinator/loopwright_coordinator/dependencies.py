"""The breakers as the coordinator meets them: what is down, who waits, which probes are over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from loopwright.breaker import Breaker, Holder, Refuse
from loopwright.errors import BusUnavailableError
from loopwright.events import EventData, LoopHeld
from loopwright.goal import Goal
from loopwright.listing import open_loops
from loopwright.loop import Loop
from loopwright.service.gate import Gate
from loopwright.service.metrics import BreakerMetrics
from loopwright_coordinator.breakers import UP, dependencies
from loopwright_coordinator.inputs import Append, Decision
from loopwright_coordinator.log import Log

log = structlog.get_logger()

#: A breaker that was found to let calls through is not asked again for so long, in seconds.
FRESH_S = 1.0


@dataclass(slots=True)
class Dependencies:
    """What the loops of this installation depend on."""

    gate: Gate
    log: Log
    metrics: BreakerMetrics
    _up: dict[str, float] = field(default_factory=dict)

    async def down(self, goal: Goal) -> Mapping[str, Refuse]:
        """Which of a goal's dependencies are down; one that is up may be so for a second less.

        Only workers must know it exactly, and they look again right before a call.
        """
        names = [n for n in dependencies(goal) if monotonic() - self._up.get(n, -FRESH_S) > FRESH_S]
        if not names:
            return UP
        found = {name: await self.gate.look(name) for name in names}
        self._up |= {name: monotonic() for name, refused in found.items() if refused is None}
        return {name: refused for name, refused in found.items() if refused is not None}

    async def after(self, decision: Decision) -> str | None:
        """The dependency for which the decision lets the loop wait, where it is back already.

        It may have closed while the hold was being written, and then nobody else would tell.
        """
        if not isinstance(decision, Append) or not isinstance(decision.data, LoopHeld):
            return None
        name = decision.data.dependency
        return name if name is not None and await self._closed(name) else None

    async def _closed(self, name: str) -> bool:
        try:
            return await self.gate.closed(name)
        except BusUnavailableError:
            return False  # the hold's timer is armed

    def changed(self, body: bytes) -> str | None:
        """Count a change; the dependency if it is one that closes its breaker."""
        breaker = Breaker.model_validate_json(body)
        if not breaker.changes:
            return None
        self._up.pop(breaker.dependency, None)
        self.metrics.changes.labels(breaker.dependency, breaker.state).inc()
        log.info(
            "breaker",
            dependency=breaker.dependency,
            state=breaker.state,
            was=breaker.previous,
            cause=breaker.cause,
        )
        return breaker.dependency if breaker.state == "closed" else None

    async def waiting(self, dependency: str) -> AsyncIterator[str]:
        """The loops that wait for it."""
        for loop_id in sorted(await open_loops(self.log.bus.nc)):
            loop = await self.log.load_tip(loop_id)
            if loop is not None and loop.held and loop.held.dependency == dependency:
                yield loop_id

    async def released(self, before: Loop, data: EventData) -> None:
        """An attempt was closed without its worker's word: if it was a probe, that is over too.

        Where this is missed, the probe's deadline says so.
        """
        settles, opened = data.settles, before.open
        if settles is None or opened is None or settles.status in ("done", "failed"):
            return
        grant = opened.grant
        holder = Holder(
            loop=before.id,
            role=grant.role,
            iteration=grant.iteration,
            attempt=grant.attempt,
            deadline=grant.deadline,
        )
        for model in grant.models:
            try:
                await self.gate.report(f"llm:{model}", holder, "unknown")
            except BusUnavailableError as error:
                log.warning("a probe could not be released", model=model, error=str(error))
