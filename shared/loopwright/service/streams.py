"""Streams, declared once, here, with their consumers; the coordinator applies them at its start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    ConsumerConfig,
    DiscardPolicy,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NoStreamResponseError, NotFoundError, ServiceUnavailableError

from loopwright import subjects
from loopwright.service import consumers
from loopwright.service.consumers import INTAKE
from loopwright.service.settings import ServiceSettings

log = structlog.get_logger()

#: Between two tries to declare, in seconds.
RETRY_S = 0.25
#: A message with headers; above the cap of `Bus.publish`, below the server's max_payload.
MAX_STORED_BYTES = 512 * 1024
_DAY_S = 86_400.0
#: How long it is known that an attempt was begun; after that, it is taken for begun.
CLAIM_DAYS = 7
#: How long it is known that an action was done that must not be done twice. A loop that is held
#: longer than this in the middle of such an action could do it again.
EFFECTS_DAYS = 400
#: Changes of a shared record that are kept.
RECORD_HISTORY = 64


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream with its durable consumers."""

    stream: StreamConfig
    consumers: tuple[ConsumerConfig, ...] = ()


def declarations(settings: ServiceSettings, replicas: int = 1) -> tuple[Declared, ...]:
    """Every stream and consumer of an installation."""
    declared = (
        Declared(_loops(), consumers.of_the_log(settings)),
        *(
            Declared(_queue(name, INTAKE[name]), (consumers.intake(name, settings),))
            for name in (subjects.GOALS, subjects.CONTROL, subjects.RESULTS)
        ),
        Declared(_kept(subjects.CLAIMS, "claim.>", CLAIM_DAYS)),
        Declared(_kept(subjects.EFFECTS, "effect.>", EFFECTS_DAYS)),
        Declared(_timers(), (consumers.intake(subjects.TIMERS, settings),)),
        Declared(_dead()),
        Declared(_queue(subjects.NOTIFY, "notify.*.*"), (consumers.deliveries(settings),)),
        Declared(_records(subjects.LIMITS, "limit.*")),
        Declared(_records(subjects.TENANTS, "tenant.*")),
        Declared(_records(subjects.BREAKERS, "breaker.>"), (consumers.breakers(settings),)),
        # One record of each memory: the one before goes, so what is forgotten is gone.
        Declared(_records(subjects.MEMORY, "memory.*.*", history=1)),
    )
    for item in declared:
        item.stream.storage = StorageType.FILE
        item.stream.num_replicas = replicas
        item.stream.max_msg_size = MAX_STORED_BYTES
    return declared


def _loops() -> StreamConfig:
    """The truth: nothing in it can be deleted."""
    return StreamConfig(
        name=subjects.LOOPS,
        subjects=["loop.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        deny_delete=True,
        allow_direct=True,
    )


def _kept(name: str, subject: str, days: int) -> StreamConfig:
    """What was done, for as long as somebody could ask."""
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=days * _DAY_S,
    )


def _timers() -> StreamConfig:
    return StreamConfig(
        name=subjects.TIMERS,
        subjects=["timer.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.OLD,  # a stream with schedules refuses any other
        allow_msg_schedules=True,
    )


def _dead() -> StreamConfig:
    """Dead letters: the newest, within a room of their own."""
    return StreamConfig(
        name=subjects.DEAD,
        subjects=["dead.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=30 * _DAY_S,
        max_bytes=1024**3,
        allow_direct=True,
    )


def _records(name: str, subject: str, history: int = RECORD_HISTORY) -> StreamConfig:
    """Records that are changed by compare-and-set; the newest changes of each are kept."""
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=history,
        allow_direct=True,
    )


def _queue(name: str, subject: str) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        duplicate_window=3600.0,
    )


async def declare_when_up(
    js: JetStreamContext, settings: ServiceSettings, replicas: int = 1
) -> None:
    """Declare as soon as JetStream answers: a server that just started may not yet."""
    while True:
        try:
            return await declare(js, settings, replicas)
        except (TimeoutError, ServiceUnavailableError, NoStreamResponseError) as error:
            log.info("waiting for JetStream", error=str(error))
            await asyncio.sleep(RETRY_S)


async def declare(js: JetStreamContext, settings: ServiceSettings, replicas: int = 1) -> None:
    """Create what is missing, update what differs."""
    for item in declarations(settings, replicas):
        name = item.stream.name
        assert name is not None
        try:
            await js.stream_info(name)
        except NotFoundError:
            await js.add_stream(item.stream)
        else:
            await js.update_stream(item.stream)
        for consumer in item.consumers:
            await js.add_consumer(name, consumer)
    try:
        await js.object_store(subjects.OBJECTS)
    except NotFoundError:
        config = ObjectStoreConfig(storage=StorageType.FILE, replicas=replicas)
        await js.create_object_store(subjects.OBJECTS, config)
