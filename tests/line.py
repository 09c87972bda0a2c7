"""The line as tasks on a real bus: the real coordinator and worker shells, scripted steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from loopwright import subjects
from loopwright.chain import LoopEvent, decode_event
from loopwright.control import Control
from loopwright.events import ExecutionRequested, PlanRequested, VerificationRequested
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.objects import Objects
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import ExecutionFinished, PlanProposed, VerdictReached
from loopwright.service.bus import Bus
from loopwright.service.gate import Gate
from loopwright.service.logs import Redactor
from loopwright.service.metrics import BreakerMetrics, CoordinatorMetrics, Metrics, WorkerMetrics
from loopwright.service.settings import ServiceSettings
from loopwright.service.step import Performed, Request
from loopwright.service.tracing import Tracing
from loopwright.service.worker import Worker
from loopwright.tools import Action
from loopwright_coordinator.admission import Admission
from loopwright_coordinator.app import Coordinator
from loopwright_coordinator.control import Controls
from loopwright_coordinator.dependencies import Dependencies
from loopwright_coordinator.kin import Kin
from loopwright_coordinator.log import Log
from loopwright_coordinator.quotas import Quotas

KINDS: dict[subjects.Role, Any] = {
    "planner": PlanRequested,
    "executor": ExecutionRequested,
    "verifier": VerificationRequested,
}
R1 = "1" * 40


@dataclass
class Scripted:
    """Steps that do what they are told, and count."""

    passed: list[tuple[str, ...]] = field(default_factory=lambda: [("a", "b")])
    before: dict[str, Callable[[Request[Any]], Awaitable[None]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def perform(self, request: Request[Any]) -> Performed:
        role = request.grant.role
        self.calls.append(role)
        if role in self.before:
            await self.before[role](request)
        match role:
            case "planner":
                touch = Action(tool="shell", args={"run": "touch a b"})
                return Performed(
                    PlanProposed(plan=Plan(summary="s", actions=(touch,), rule="work"))
                )
            case "executor":
                done = ActionOutcome(tool="shell", status="succeeded")
                outcome = Outcome(revision=R1, succeeded=True, actions=(done,))
                return Performed(ExecutionFinished(outcome=outcome))
            case "verifier":
                names = self.passed.pop(0) if len(self.passed) > 1 else self.passed[0]
                return Performed(VerdictReached(verdict=_verdict(request.goal, names)))


def _verdict(goal: Goal, passed: tuple[str, ...]) -> Verdict:
    checks = tuple(
        CheckResult.model_validate(
            {"name": name, "status": "passed" if name in passed else "failed", "message": "m"}
        )
        for name in goal.check_names
    )
    return Verdict(revision=R1, checks=checks, score=0.0)


@dataclass
class Line:
    """Coordinators and workers as tasks on one bus."""

    bus: Bus
    objects: Objects
    settings: ServiceSettings
    script: Scripted = field(default_factory=Scripted)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.counters = CoordinatorMetrics(self.metrics.registry)
        self.breakers = BreakerMetrics(self.metrics.registry)

    def built(self) -> Coordinator:
        """A coordinator that does not run yet."""
        log = Log(self.bus, self.objects, "/coordinator/test")
        tracing = Tracing("coordinator", self.settings)
        quotas = Quotas(log)
        return Coordinator(
            self.bus,
            log,
            tracing,
            self.metrics,
            self.counters,
            Admission(log, tracing, quotas=quotas),
            Controls(self.bus, quotas),
            Dependencies(Gate(self.bus.nc), log, self.breakers),
            Kin(log, tracing),
        )

    def coordinator(self, coordinator: Coordinator | None = None) -> None:
        running = (coordinator or self.built()).run(self.stop)
        self.tasks.append(asyncio.create_task(running))

    def worker(self, role: subjects.Role) -> Worker[Any]:
        return Worker(
            role=role,
            step=self.script,
            kind=KINDS[role],
            bus=self.bus,
            objects=self.objects,
            settings=self.settings,
            metrics=self.metrics,
            counters=WorkerMetrics(CollectorRegistry(), role),
            tracing=Tracing(role, self.settings),
            redactor=Redactor([]),
        )

    async def work(self, *roles: subjects.Role) -> None:
        for role in roles or subjects.ROLES:
            worker = self.worker(role)
            await worker.listen_for_stop()
            self.tasks.append(asyncio.create_task(self._consume(role, worker)))

    async def _consume(self, role: str, worker: Worker[Any]) -> None:
        subscription = await self.bus.js.pull_subscribe_bind(role, subjects.LOOPS)
        while not self.stop.is_set():
            try:
                for message in await subscription.fetch(1, timeout=0.2):
                    await worker.on_delivery(message)
            except TimeoutError:
                continue

    async def submit(self, body: bytes, tenant: str = "default") -> dict[str, Any]:
        return await self._ask(subjects.goal_submitted(tenant), body)

    async def start(self, goal: Goal) -> str:
        answer = await self.submit(goal.model_dump_json(exclude_none=True, by_alias=True).encode())
        assert answer["accepted"], answer
        return str(answer["loop"])

    async def cancel(self, loop: str) -> dict[str, Any]:
        return await self._ask(
            subjects.control(loop), b'{"kind": "cancel", "id": "cancel-01", "reason": "enough"}'
        )

    async def say(self, loop: str, word: Control) -> dict[str, Any]:
        return await self._ask(subjects.control(loop), word.model_dump_json().encode())

    async def _ask(self, subject: str, body: bytes) -> dict[str, Any]:
        inbox = self.bus.nc.new_inbox()
        subscription = await self.bus.nc.subscribe(inbox)
        await self.bus.js.publish(subject, body, headers={subjects.REPLY_TO: inbox})
        answer = await subscription.next_msg(timeout=60)
        return dict(json.loads(answer.data))

    async def events(self, loop: str, last: str = "loop_ended") -> list[LoopEvent]:
        """The loop's events up to the first of a kind."""
        subscription = await self.bus.js.subscribe(
            subjects.loop_events(loop), ordered_consumer=True
        )
        found: list[LoopEvent] = []
        while not found or found[-1].data.kind != last:
            message = await subscription.next_msg(timeout=60)
            found.append(decode_event(message.data))
        await subscription.unsubscribe()
        return found

    async def log(self, loop: str) -> list[LoopEvent]:
        """Every event so far."""
        stored = self.bus.read(subjects.LOOPS, subjects.loop_events(loop), 1)
        return [decode_event(item.body) async for item in stored]

    async def loop(self, loop: str) -> Loop:
        found = await Log(self.bus, self.objects, "/test").load_tip(loop)
        assert found is not None
        return found


async def dead_letters(bus: Bus) -> list[dict[str, Any]]:
    return [json.loads(stored.body) async for stored in bus.read(subjects.DEAD, "dead.>", 1)]


def kinds(events: list[LoopEvent]) -> list[str]:
    return [event.data.kind for event in events]
