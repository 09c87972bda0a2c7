"""The coordinator's shell: load the loop, decide, arm the timer, append, say so, acknowledge.

A crash between any two of these is healed by the input's redelivery, because each is idempotent.
No rule about loops is here: those are in `core`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from nats.aio.msg import Msg
from opentelemetry.trace import Span

from loopwright import subjects
from loopwright.breaker import Refuse
from loopwright.chain import decode_result
from loopwright.control import Cancel
from loopwright.errors import ConflictError, UnreadableError
from loopwright.events import Grant, LoopEnded
from loopwright.loop import Loop
from loopwright.payloads import check_out
from loopwright.service.bus import Bus
from loopwright.service.claims import claim
from loopwright.service.consumers import COORDINATOR, FAMILY, INTAKE, TENANTS
from loopwright.service.intake import Intake
from loopwright.service.metrics import CoordinatorMetrics, Metrics
from loopwright.service.streams import CLAIM_DAYS
from loopwright.service.tracing import Tracing, trace_id, traceparent
from loopwright_coordinator.admission import Admission
from loopwright_coordinator.control import Controls
from loopwright_coordinator.core import decide, quarantined
from loopwright_coordinator.dependencies import Dependencies
from loopwright_coordinator.grants import token_digest
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ControlArrived,
    Decision,
    Ignore,
    Input,
    Recovered,
    ResultArrived,
    TakeClaim,
    Timer,
    Woken,
)
from loopwright_coordinator.kin import Kin
from loopwright_coordinator.log import Log

log = structlog.get_logger()


@dataclass(slots=True)
class Coordinator:
    """Turns inputs into events of loops; any number of replicas may run."""

    bus: Bus
    log: Log
    tracing: Tracing
    metrics: Metrics
    counters: CoordinatorMetrics
    admission: Admission
    controls: Controls
    dependencies: Dependencies
    kin: Kin
    decide: Callable[[Loop, Input, datetime, str, Mapping[str, Refuse]], Decision] = decide

    async def run(self, stop: asyncio.Event) -> None:
        """Consume the four streams of input, and the log for families, until stopped."""
        handlers: dict[str, Callable[[Msg], Awaitable[None]]] = {
            subjects.GOALS: self.on_goal,
            subjects.CONTROL: self.on_control,
            subjects.RESULTS: self.on_result,
            subjects.TIMERS: self.on_timer,
        }
        async with asyncio.TaskGroup() as group:
            for stream in INTAKE:
                intake = Intake(self.bus, stream, COORDINATOR, handlers[stream], self.metrics)
                group.create_task(intake.run(stop))
            if self.admission.quotas is not None:
                ends = Intake(
                    self.bus,
                    subjects.LOOPS,
                    TENANTS,
                    self.admission.quotas.on_ended,
                    self.metrics,
                )
                group.create_task(ends.run(stop))
            changes = Intake(
                self.bus, subjects.BREAKERS, COORDINATOR, self.on_breaker, self.metrics
            )
            group.create_task(changes.run(stop))
            family = Intake(self.bus, subjects.LOOPS, FAMILY, self.on_event, self.metrics)
            group.create_task(family.run(stop))

    async def on_goal(self, message: Msg) -> None:
        """Admit a goal, or say everything that is wrong with it."""
        await self.admission.handle(message, self.settle)

    async def on_control(self, message: Msg) -> None:
        """Do what a person asks of a loop, and answer."""
        await self.controls.handle(message, self.settle)

    async def on_result(self, message: Msg) -> None:
        """Accept a worker's result."""
        event = decode_result(await check_out(message.data, self.log.objects))
        result = event.data
        if message.subject != subjects.result(result.role, result.loop):
            raise UnreadableError(f"a result of {result.role} for {result.loop} on another subject")
        token = (message.headers or {}).get(subjects.ATTEMPT_TOKEN, "")
        received = ResultArrived(result, token_digest(token))
        if await self.settle(result.loop, received, at_least=result.grant_seq) is None:
            raise UnreadableError(f"loop {result.loop}: there is no such loop")

    async def on_timer(self, message: Msg) -> None:
        """A timer only says: look again."""
        loop_id = message.subject.rsplit(".", 1)[-1]
        if await self.settle(loop_id, Woken()) is None:
            raise UnreadableError(f"loop {loop_id}: there is no such loop")

    async def on_breaker(self, message: Msg) -> None:
        """A breaker has changed; where it has closed, those who wait for it go on."""
        dependency = self.dependencies.changed(message.data)
        if dependency is not None:
            async for loop_id in self.dependencies.waiting(dependency):
                await self.settle(loop_id, Recovered(dependency))

    async def on_event(self, message: Msg) -> None:
        """Do what one loop's event means to its parent or its children."""
        await self.kin.handle(message, self.settle)

    async def settle(
        self, loop_id: str, received: Input, *, at_least: int | None = None
    ) -> tuple[Loop, Decision] | None:
        """Decide until the decision stands; None where there is no such loop.

        `at_least` is how far the fold must have been read for a decision to do nothing; without
        it that is the leader's tip.
        """
        began = monotonic()
        while True:
            if at_least is None:
                loop = await self.log.load_tip(loop_id)
            else:
                loop = await self.log.load(loop_id, at_least=at_least)
            if loop is None:
                return None
            if isinstance(received, Begin) and await self._orphaned(loop):
                received = ControlArrived(Cancel(id=f"{loop.id}-orphan", reason="its parent ended"))
            try:
                loop, decision = await self._decide(loop, received)
            except ConflictError:
                self.counters.conflicts.inc()
                continue
            if isinstance(decision, TakeClaim):
                won = await self._take_claim(loop, decision)
                received = Woken(claim_won=won, asked=decision.grant.token_digest)
                continue
            self._count(received, decision, began)
            back = await self.dependencies.after(decision)
            if back is None:
                return loop, decision
            received = Recovered(back)

    async def _orphaned(self, loop: Loop) -> bool:
        """Whether a loop must not begin: the one that started it has ended."""
        if loop.parent is None:
            return False
        parent = await self.log.load_tip(loop.parent.loop)
        return parent is not None and parent.ended is not None

    async def _decide(self, loop: Loop, received: Input) -> tuple[Loop, Decision]:
        down = await self.dependencies.down(loop.goal)
        now, nonce = datetime.now(UTC), secrets.token_hex(16)
        attributes: dict[str, str | int | float] = {
            "loopwright.loop": loop.id,
            "loopwright.n": loop.n + 1,
        }
        with (
            structlog.contextvars.bound_contextvars(
                loop=loop.id, iteration=loop.iteration, trace_id=trace_id(loop.traceparent)
            ),
            self.tracing.span("coordinator", loop.traceparent, attributes) as span,
        ):
            decision = self._decision(loop, received, now, nonce, down)
            span.set_attribute("loopwright.input", type(received).__name__)
            match decision:
                case Append():
                    return await self._append(loop, decision, now, span), decision
                case Arm():
                    await self._arm(loop.id, decision.timer)
                case Ignore():
                    log.info("ignored", input=type(received).__name__, why=decision.why)
                case TakeClaim():
                    pass
            return loop, decision

    def _decision(
        self,
        loop: Loop,
        received: Input,
        now: datetime,
        nonce: str,
        down: Mapping[str, Refuse],
    ) -> Decision:
        """What is decided; past its deadline a loop ends even if the decision fails every time."""
        try:
            return self.decide(loop, received, now, nonce, down)
        except Exception as error:
            if loop.ended is not None or now < loop.deadline:
                raise
            log.exception("a loop is quarantined")
            return quarantined(loop, now, f"{type(error).__name__}: {error}")

    async def _append(self, loop: Loop, decision: Append, now: datetime, span: Span) -> Loop:
        if decision.timer is not None:
            await self._arm(loop.id, decision.timer)
        if decision.stop and loop.open is not None:
            # Before the append: whoever takes the grant from the queue later finds it taken.
            await self._take_claim(loop, TakeClaim(loop.open.grant))
        span.set_attribute("loopwright.event", decision.data.kind)
        after = await self.log.append(
            loop,
            loop.id,
            decision.data,
            now=now,
            token=decision.token,
            traceparent=traceparent(span),
        )
        await self.dependencies.released(loop, decision.data)
        if decision.stop:
            await self.bus.nc.publish(subjects.stop(loop.id), b"")
        log.info("appended", kind=decision.data.kind, n=after.n, seq=after.tip)
        return after

    async def _arm(self, loop_id: str, timer: Timer) -> None:
        at = timer.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await self.bus.publish(
            subjects.timer(loop_id, timer.guard),
            json.dumps({"loop": loop_id, "guard": timer.guard}).encode(),
            stream=subjects.TIMERS,
            headers={
                "Nats-Schedule": f"@at {at}",
                "Nats-Schedule-Target": subjects.timer_fired(loop_id),
            },
        )

    async def _take_claim(self, loop: Loop, wanted: TakeClaim) -> bool:
        """Whether nothing was started: the claim is ours, or another coordinator's."""
        grant = wanted.grant
        subject = subjects.claim(grant.role, loop.id, grant.iteration, grant.attempt)
        held = await claim(self.bus, subject, COORDINATOR)
        return held.owner == COORDINATOR and not _forgotten(loop, grant, datetime.now(UTC))

    def _count(self, received: Input, decision: Decision, began: float) -> None:
        name, what = type(received).__name__, type(decision).__name__
        self.counters.decisions.labels(name, what).inc()
        self.counters.seconds.observe(monotonic() - began)
        if not isinstance(decision, Append):
            return
        settlement = decision.data.settles
        if settlement is not None:
            self.counters.spent.labels("tokens").inc(settlement.charged.tokens)
            self.counters.spent.labels("usd").inc(settlement.charged.cost_microusd / 1e6)
            self.counters.spent.labels("actions").inc(settlement.charged.actions)
        if isinstance(decision.data, LoopEnded):
            self.counters.ended.labels(decision.data.outcome, decision.data.reason).inc()


def _forgotten(loop: Loop, grant: Grant, now: datetime) -> bool:
    """Whether a claim of this attempt could be so old that the bus no longer has it."""
    limits = loop.limits
    longest = max(limits.plan_time, limits.execute_time, limits.verify_time)
    granted = grant.deadline - timedelta(seconds=longest)
    return now - granted > timedelta(days=CLAIM_DAYS - 1)
