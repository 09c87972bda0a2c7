"""A worker service put together: its subscription on LOOPS, its probes, its step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors
import nats.js.errors
import structlog

from loopwright import subjects
from loopwright.events import RequestData
from loopwright.objects import NatsObjects, Objects
from loopwright.service.app import Process, process, serve
from loopwright.service.bus import Bus
from loopwright.service.metrics import WorkerMetrics
from loopwright.service.pull import Pull
from loopwright.service.settings import ServiceSettings
from loopwright.service.step import Step
from loopwright.service.worker import Worker
from loopwright.subjects import Role

log = structlog.get_logger()

RequestT = TypeVar("RequestT", bound=RequestData)

#: Between two looks for the consumer that the coordinator declares.
LOOK_S = 0.25

StepFactory = Callable[[Process, Objects], Awaitable[Step[RequestT]]]


def run_role(
    role: Role, kind: type[RequestT], settings: ServiceSettings, make_step: StepFactory[RequestT]
) -> None:
    """Serve one role until SIGTERM."""
    parts = process(role, settings)
    counters = WorkerMetrics(parts.metrics.registry, role)
    workers: list[Worker[RequestT]] = []

    async def prepare(bus: Bus) -> None:
        objects = await declared(bus, role)
        worker = Worker(
            role=role,
            step=await make_step(parts, objects),
            kind=kind,
            bus=bus,
            objects=objects,
            settings=settings,
            metrics=parts.metrics,
            counters=counters,
            tracing=parts.tracing,
            redactor=parts.redactor,
        )
        await worker.listen_for_stop()
        workers.append(worker)

    async def run(stop: asyncio.Event) -> None:
        deliver = workers[0].on_delivery
        await Pull(parts.bus.nc, subjects.LOOPS, role, deliver, settings.slots).run(stop)

    parts.on_start.append(prepare)
    parts.background.append(run)
    serve(parts)


async def declared(bus: Bus, durable: str, stream: str = subjects.LOOPS) -> Objects:
    """Wait until the consumer that this service binds to, and the object store, are declared."""
    waiting = False
    while True:
        try:
            await bus.js.consumer_info(stream, durable)
            return NatsObjects(await bus.js.object_store(subjects.OBJECTS))
        except (nats.js.errors.Error, nats.errors.Error) as error:
            if not waiting:
                log.info("waiting for the streams to be declared", error=str(error))
            waiting = True
            await asyncio.sleep(LOOK_S)
