"""The shell around a role's step: claim, heartbeat, deadline, stop, result, acknowledgement.

Nothing that costs or has an effect outside the workspace happens before the attempt is claimed,
by compare-and-set on a subject that only one can be first on. A delivery that finds the claim
taken by another says that the first worker is lost, instead of waiting for the deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Generic

import nats.errors
import structlog
from nats.aio.msg import Msg
from ulid import ULID

from loopwright import subjects
from loopwright.budget import Usage
from loopwright.chain import LoopEvent, ResultEvent, decode_event, event_type, schema_uri
from loopwright.errors import (
    BusUnavailableError,
    ErrorInfo,
    LoopwrightError,
    StepError,
    UnreadableError,
)
from loopwright.events import Grant, LoopAdmitted
from loopwright.objects import Objects
from loopwright.payloads import check_in, check_out
from loopwright.results import Result, StepFailed, WorkerLost
from loopwright.service.bus import Bus, Stored
from loopwright.service.cache import Cache
from loopwright.service.claims import claim
from loopwright.service.intake import bury_message
from loopwright.service.logs import Redactor
from loopwright.service.metrics import Metrics, WorkerMetrics
from loopwright.service.settings import ServiceSettings
from loopwright.service.step import Performed, Request, RequestT, Step
from loopwright.service.tracing import Tracing, trace_id
from loopwright.subjects import Role

log = structlog.get_logger()

#: How long a finished step tries to report, in seconds; after that its deadline speaks.
REPORT_S = 60.0
#: How often a goal that is not there is looked for, and seconds in between.
LOOKS, LOOK_S = 20, 0.25


@dataclass(slots=True)
class Worker(Generic[RequestT]):
    """Consumes one role's granting events."""

    role: Role
    step: Step[RequestT]
    kind: type[RequestT]
    bus: Bus
    objects: Objects
    settings: ServiceSettings
    metrics: Metrics
    counters: WorkerMetrics
    tracing: Tracing
    redactor: Redactor
    _running: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    _loops: Cache[str, LoopAdmitted] = field(default_factory=lambda: Cache(256))

    async def listen_for_stop(self) -> None:
        """End running steps of a loop at once when its coordinator says so."""

        async def stopped(message: Msg) -> None:
            for event in self._running.get(message.subject.removeprefix("stop."), ()):
                event.set()

        await self.bus.nc.subscribe(subjects.stop("*"), cb=stopped)

    async def on_delivery(self, message: Msg) -> None:
        """Handle one delivery of a granting event, and acknowledge it in the end."""
        try:
            event, data, token = await self._read(message)
        except UnreadableError as error:
            await bury_message(self.bus, subjects.LOOPS, message, str(error), self.metrics)
            return
        with structlog.contextvars.bound_contextvars(
            loop=event.subject,
            iteration=data.grant.iteration,
            attempt=data.grant.attempt,
            trace_id=trace_id(event.traceparent),
        ):
            await self._attempt(message, event, data, token)

    async def _read(self, message: Msg) -> tuple[LoopEvent, RequestT, str]:
        """The granting event, its request and the attempt token; UnreadableError if it is none."""
        event = decode_event(await check_out(message.data, self.objects))
        token = (message.headers or {}).get(subjects.ATTEMPT_TOKEN, "")
        if not isinstance(event.data, self.kind):
            raise UnreadableError(f"{event.data.kind} is no request for a {self.role}")
        if hashlib.sha256(token.encode()).hexdigest() != event.data.grant.token_digest:
            raise UnreadableError("the attempt token in the header is not the grant's")
        return event, event.data, token

    async def _attempt(self, message: Msg, event: LoopEvent, data: RequestT, token: str) -> None:
        grant = data.grant
        if datetime.now(UTC) >= grant.deadline:
            log.info("the grant has expired", deadline=grant.deadline.isoformat())
            await message.ack()
            return
        answer = Answer(self, event, grant, token, message.metadata.sequence.stream)
        try:
            claimed = await self._claim(event.subject, grant)
        except BusUnavailableError as error:
            log.warning("the attempt could not be claimed", error=str(error))
            await message.nak(delay=1.0)
            return
        if not claimed:
            log.warning(
                "the attempt is claimed by another", deliveries=message.metadata.num_delivered
            )
            await answer.send(Performed(WorkerLost()))
            await message.ack()
            return
        async with self._heartbeat(message, event.subject, grant) as stop:
            performed = await self._perform(event, data, stop)
            await answer.send(performed)
        await message.ack()

    async def _claim(self, loop: str, grant: Grant) -> bool:
        """Whether this delivery is the one that may do the attempt."""
        subject = subjects.claim(self.role, loop, grant.iteration, grant.attempt)
        return (await claim(self.bus, subject, self.settings.replica)).ours

    async def _perform(self, event: LoopEvent, data: RequestT, stop: asyncio.Event) -> Performed:
        grant, began = data.grant, monotonic()
        with (
            self.tracing.span(self.role, event.traceparent, _attributes(event, grant)) as span,
            self.counters.running.labels(self.role).track_inprogress(),
        ):
            performed = await self._guarded(event, data, stop)
            result: str = performed.body.kind
            if isinstance(performed.body, StepFailed):
                result = performed.body.error.kind
                span.set_attribute("error.type", result)
        seconds = monotonic() - began
        self.counters.steps.labels(self.role, result).inc()
        self.counters.seconds.labels(self.role).observe(seconds)
        log.info("step done", role=self.role, result=result, seconds=round(seconds, 3))
        return performed

    async def _guarded(self, event: LoopEvent, data: RequestT, stop: asyncio.Event) -> Performed:
        """The step; whatever it raises becomes a failure of the closed list.

        Only StepError says that nothing was used; after any other the whole grant is charged.
        """
        try:
            admitted = await self._admitted(event.subject)
        except StepError as error:
            return Performed(StepFailed(error=error.info))
        except BusUnavailableError as error:
            return Performed(StepFailed(error=ErrorInfo(kind="network", message=str(error))))
        goal = admitted.goal
        if data.grant.limits is not None:  # amended since
            goal = goal.model_copy(update={"limits": data.grant.limits})
        try:
            request = Request(event.subject, goal, data.grant, data, stop, tenant=admitted.tenant)
            return await self.step.perform(request)
        except StepError as error:
            return Performed(StepFailed(error=error.info))
        except BusUnavailableError as error:
            failed = StepFailed(error=ErrorInfo(kind="network", message=str(error)))
        except Exception as error:
            log.exception("unexpected fault in a step")
            message = self.redactor.text(f"{type(error).__name__}: {error}")[:2000]
            failed = StepFailed(error=ErrorInfo(kind="internal", message=message))
        return Performed(failed, in_full(data.grant))

    async def _admitted(self, loop: str) -> LoopAdmitted:
        """The loop's goal and tenant: they never change, so they are read once a worker."""
        known = self._loops.get(loop)
        if known is not None:
            return known
        stored = await self._beginning(loop)
        data = decode_event(await check_out(stored.body, self.objects)).data
        assert isinstance(data, LoopAdmitted)
        self._loops.put(loop, data)
        return data

    async def _beginning(self, loop: str) -> Stored:
        """The loop's first event; a replica of the log that lags behind is asked again."""
        for _ in range(LOOKS):
            stored = await self.bus.look(subjects.LOOPS, subjects.loop_event(loop, "loop_admitted"))
            if stored is not None:
                return stored
            await asyncio.sleep(LOOK_S)
        raise StepError("internal", f"loop {loop}: the log holds no goal")

    @asynccontextmanager
    async def _heartbeat(
        self, message: Msg, loop: str, grant: Grant
    ) -> AsyncIterator[asyncio.Event]:
        """Keep the delivery ours while the step runs; tell it to stop at its deadline."""
        stop = asyncio.Event()
        self._running.setdefault(loop, set()).add(stop)
        beat = asyncio.create_task(self._beat(message, loop, grant, stop))
        try:
            yield stop
        finally:
            beat.cancel()
            self._running[loop].discard(stop)
            if not self._running[loop]:
                del self._running[loop]

    async def _beat(self, message: Msg, loop: str, grant: Grant, stop: asyncio.Event) -> None:
        every = self.settings.ack_wait_s / 3
        while True:
            left = (grant.deadline - datetime.now(UTC)).total_seconds()
            if left <= 0:
                log.warning("the deadline has passed; the step is stopped")
                stop.set()
                return
            await asyncio.sleep(min(every, left))
            try:
                await message.in_progress()
                if await self._is_settled(loop, message.metadata.sequence.stream):
                    log.warning("the grant is settled; the step is stopped")
                    stop.set()
                    return
            except (nats.errors.Error, ConnectionError, LoopwrightError):
                log.debug("no heartbeat; the bus is away")

    async def _is_settled(self, loop: str, grant_seq: int) -> bool:
        """Whether the loop ended, or paused at once, and the signal that said so was not heard."""
        for kind in ("loop_ended", "loop_held"):
            stored = await self.bus.look(subjects.LOOPS, subjects.loop_event(loop, kind))
            if stored is None or stored.seq <= grant_seq:
                continue
            data = decode_event(await check_out(stored.body, self.objects)).data
            if kind == "loop_ended" or data.settles is not None:
                return True
        return False


def in_full(grant: Grant) -> Usage:
    """The usage of a step of which nobody knows what it used."""
    reserved = grant.reserved
    return Usage(
        input_tokens=reserved.tokens,
        cost_microusd=reserved.cost_microusd,
        actions=reserved.actions,
        estimated=True,
    )


def _attributes(event: LoopEvent, grant: Grant) -> dict[str, str | int | float]:
    return {
        "loopwright.loop": event.subject,
        "loopwright.iteration": grant.iteration,
        "loopwright.attempt": grant.attempt,
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """Where and how a step's result is reported."""

    worker: Worker[RequestT]  # type: ignore[valid-type]
    event: LoopEvent
    grant: Grant
    token: str
    grant_seq: int

    async def send(self, performed: Performed) -> None:
        """Publish the result; tried until the bus has it or the deadline must speak."""
        worker = self.worker
        parent = self.event.traceparent
        body = await check_in(self._seal(performed, parent).encode(), worker.objects)
        headers = {subjects.ATTEMPT_TOKEN: self.token}
        if parent:
            headers[subjects.TRACEPARENT] = parent
        subject = subjects.result(worker.role, self.event.subject)
        until = monotonic() + REPORT_S
        while True:
            try:
                await worker.bus.publish(subject, body, stream=subjects.RESULTS, headers=headers)
            except BusUnavailableError as error:
                if monotonic() > until:
                    raise
                log.warning("the result could not be reported yet", error=str(error))
                await asyncio.sleep(0.5)
            else:
                return

    def _seal(self, performed: Performed, parent: str | None) -> ResultEvent:
        worker, grant, now = self.worker, self.grant, datetime.now(UTC)
        result = Result(
            loop=self.event.subject,
            role=worker.role,
            iteration=grant.iteration,
            attempt=grant.attempt,
            grant_seq=self.grant_seq,
            worker=worker.settings.replica,
            finished_at=now,
            usage=performed.usage,
            body=performed.body,
        )
        return ResultEvent(
            id=str(ULID()),
            source=f"/{worker.role}/{worker.settings.replica}",
            type=event_type(performed.body.kind),
            subject=self.event.subject,
            time=now,
            dataschema=schema_uri("result"),
            traceparent=parent,
            data=result,
        )
