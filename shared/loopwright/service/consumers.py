"""Durable consumers, declared once, here, and what each of them hears.

A consumer's settings are the server's: what another service passes when it binds is ignored, so
nothing else may declare one.
"""

from __future__ import annotations

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from loopwright import subjects
from loopwright.service.settings import ServiceSettings

#: So many deliveries may be unacknowledged; the server's default of 1,000 stalls a busy consumer.
MAX_ACK_PENDING = 20_000

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
NEWS = ("plan_requested", "loop_held", "loop_controlled", "child_settled", "loop_ended")
#: One delivery of a notification, redirects and a slow receiver included, in seconds.
DELIVERY_S = 60.0


def of_the_log(settings: ServiceSettings) -> tuple[ConsumerConfig, ...]:
    """Who hears of loops: the workers of their steps, and those to whom an event means more."""
    ended = subjects.loop_event("*", "loop_ended")
    return (
        *(_consumer(role, subjects.requests(role), settings) for role in subjects.ROLES),
        _told(settings),
        _consumer(LEARNER, ended, settings),
        _family(settings),
        _consumer(TENANTS, ended, settings),
    )


def intake(stream: str, settings: ServiceSettings) -> ConsumerConfig:
    """What the coordinators take in."""
    return _consumer(COORDINATOR, INTAKE[stream], settings)


def deliveries(settings: ServiceSettings) -> ConsumerConfig:
    """Notifications to be delivered."""
    notifier = _consumer(NOTIFIER, "notify.*.*", settings)
    notifier.ack_wait = DELIVERY_S
    return notifier


def breakers(settings: ServiceSettings) -> ConsumerConfig:
    """What the coordinators must hear of breakers from now on."""
    changes = _consumer(COORDINATOR, "breaker.>", settings)
    changes.deliver_policy = DeliverPolicy.NEW
    return changes


def _told(settings: ServiceSettings) -> ConsumerConfig:
    """What people may want to be told of; an installation's past is no news."""
    told = _consumer(NOTIFIER, "", settings)
    told.filter_subject = None
    told.filter_subjects = [f"loop.*.{kind}" for kind in NEWS]
    told.deliver_policy = DeliverPolicy.NEW
    return told


def _family(settings: ServiceSettings) -> ConsumerConfig:
    """What one loop's event means to another, from the beginning of the log."""
    family = _consumer(FAMILY, "", settings)
    family.filter_subject = None
    family.filter_subjects = [f"loop.*.{kind}" for kind in KIN]
    return family


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
