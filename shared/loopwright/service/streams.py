"""Streams and consumers, declared once, here; the coordinator applies them at its start.

A consumer's settings are the server's: what another service passes when it binds is ignored, so
nothing else may declare one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NoStreamResponseError, NotFoundError, ServiceUnavailableError

from loopwright import subjects
from loopwright.service.settings import ServiceSettings

log = structlog.get_logger()

#: Between two tries to declare, in seconds.
RETRY_S = 0.25
#: A message with headers; above the cap of `Bus.publish`, below the server's max_payload.
MAX_STORED_BYTES = 512 * 1024
_DAY_S = 86_400.0
#: How long it is known that an action was done that must not be done twice. A loop that is held
#: longer than this in the middle of such an action could do it again.
EFFECTS_DAYS = 400
#: So many deliveries may be unacknowledged; the server's default of 1,000 stalls a busy consumer.
MAX_ACK_PENDING = 20_000

#: Changes of a shared record that are kept.
RECORD_HISTORY = 64

#: The coordinator's intake: stream → what it filters.
INTAKE: dict[str, str] = {
    subjects.GOALS: "goal.submitted.*",
    subjects.CONTROL: "control.*",
    subjects.RESULTS: "result.*.*",
    subjects.TIMERS: "timer.fired.*",
}
COORDINATOR = "coordinator"
NOTIFIER = "notifier"
LEARNER = "learner"
#: The coordinator's consumer of the log: what a loop's event means to its parent or children.
FAMILY = "family"
#: The events that may mean something to them.
KIN = ("loop_held", "loop_controlled", "loop_ended")
#: Hears of each loop's end, to return what its tenant leased to it.
TENANTS = "tenants"
#: The events that may be news to people; warnings come with the first of them.
NEWS = ("plan_requested", "loop_held", "loop_controlled", "loop_ended")
#: One delivery of a notification, redirects and a slow receiver included, in seconds.
DELIVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream with its durable consumers."""

    stream: StreamConfig
    consumers: tuple[ConsumerConfig, ...] = ()


def declarations(settings: ServiceSettings, replicas: int = 1) -> tuple[Declared, ...]:
    """Every stream and consumer of an installation."""
    loops = StreamConfig(
        name=subjects.LOOPS,
        subjects=["loop.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        deny_delete=True,
        allow_direct=True,
    )
    claims = StreamConfig(
        name=subjects.CLAIMS,
        subjects=["claim.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=7 * _DAY_S,
    )
    effects = StreamConfig(
        name=subjects.EFFECTS,
        subjects=["effect.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=EFFECTS_DAYS * _DAY_S,
    )
    timers = StreamConfig(
        name=subjects.TIMERS,
        subjects=["timer.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.OLD,  # a stream with schedules refuses any other
        allow_msg_schedules=True,
    )
    dead = StreamConfig(
        name=subjects.DEAD,
        subjects=["dead.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=30 * _DAY_S,
        max_bytes=1024**3,
        allow_direct=True,
    )
    ended = _consumer(TENANTS, subjects.loop_event("*", "loop_ended"), settings)
    breakers = _records(subjects.BREAKERS, "breaker.>")
    memory = StreamConfig(
        name=subjects.MEMORY,
        subjects=["memory.*.*"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,  # the one before on the same subject: what is forgotten goes
        max_msgs_per_subject=1,
        allow_direct=True,
    )
    learner = _consumer(LEARNER, subjects.loop_event("*", "loop_ended"), settings)
    notify = _queue(subjects.NOTIFY, "notify.*.*")
    notifier = _consumer(NOTIFIER, "notify.*.*", settings)
    notifier.ack_wait = DELIVERY_S
    requests = tuple(_consumer(role, subjects.requests(role), settings) for role in subjects.ROLES)
    declared = (
        Declared(loops, (*requests, _told(settings), learner, _family(settings), ended)),
        Declared(_queue(subjects.GOALS, "goal.submitted.*"), (_intake(subjects.GOALS, settings),)),
        Declared(_queue(subjects.CONTROL, "control.*"), (_intake(subjects.CONTROL, settings),)),
        Declared(_queue(subjects.RESULTS, "result.*.*"), (_intake(subjects.RESULTS, settings),)),
        Declared(claims),
        Declared(effects),
        Declared(timers, (_intake(subjects.TIMERS, settings),)),
        Declared(dead),
        Declared(notify, (notifier,)),
        Declared(_records(subjects.LIMITS, "limit.*")),
        Declared(_records(subjects.TENANTS, "tenant.*")),
        Declared(breakers, (_changes(settings, "breaker.>"),)),
        Declared(memory),
    )
    for item in declared:
        item.stream.storage = StorageType.FILE
        item.stream.num_replicas = replicas
        item.stream.max_msg_size = MAX_STORED_BYTES
    return declared


def _told(settings: ServiceSettings) -> ConsumerConfig:
    """What people may want to be told of; an installation's past is no news."""
    told = _consumer(NOTIFIER, "", settings)
    told.filter_subject = None
    told.filter_subjects = [f"loop.*.{kind}" for kind in NEWS]
    told.deliver_policy = DeliverPolicy.NEW
    return told


def _records(name: str, subject: str) -> StreamConfig:
    """Records that are changed by compare-and-set; the newest changes of each are kept."""
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=RECORD_HISTORY,
        allow_direct=True,
    )


def _changes(settings: ServiceSettings, subject: str) -> ConsumerConfig:
    """What the coordinators must hear of records from now on."""
    changes = _consumer(COORDINATOR, subject, settings)
    changes.deliver_policy = DeliverPolicy.NEW
    return changes


def _family(settings: ServiceSettings) -> ConsumerConfig:
    """What one loop's event means to another, from the beginning of the log."""
    family = _consumer(FAMILY, "", settings)
    family.filter_subject = None
    family.filter_subjects = [f"loop.*.{kind}" for kind in KIN]
    return family


def _queue(name: str, subject: str) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        duplicate_window=3600.0,
    )


def _intake(stream: str, settings: ServiceSettings) -> ConsumerConfig:
    return _consumer(COORDINATOR, INTAKE[stream], settings)


def _consumer(name: str, subject: str, settings: ServiceSettings) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=settings.ack_wait_s,
        max_deliver=-1,  # a message at its delivery limit stays, invisible to every lag gauge
        max_ack_pending=MAX_ACK_PENDING,
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
