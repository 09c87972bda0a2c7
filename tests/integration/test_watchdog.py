"""The watchdog on a real bus: lost timers are made up for, what is stuck is seen."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from loopwright import subjects
from loopwright.chain import READER, decode_event, digest
from loopwright.events import LoopAdmitted, LoopEnded
from loopwright.listing import admitted_loops, open_loops, subjects_of
from loopwright.loop import Loop
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.service.gate import Gate
from loopwright.service.metrics import BreakerMetrics, CoordinatorMetrics, Metrics, WatchdogMetrics
from loopwright.service.permissions import access
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declarations, declare
from loopwright.service.tracing import Tracing
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright_coordinator.admission import Admission
from loopwright_coordinator.app import Coordinator
from loopwright_coordinator.control import Controls
from loopwright_coordinator.dependencies import Dependencies
from loopwright_coordinator.inputs import Begin
from loopwright_coordinator.kin import Kin
from loopwright_coordinator.log import Log
from loopwright_coordinator.watchdog import Watchdog


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watchdog(
    bus: Bus, objects: Objects, settings: ServiceSettings, registry: CollectorRegistry
) -> Watchdog:
    log = Log(bus, objects, "/coordinator/test")
    tracing = Tracing("coordinator", settings)
    metrics = Metrics()
    coordinator = Coordinator(
        bus,
        log,
        tracing,
        metrics,
        CoordinatorMetrics(metrics.registry),
        Admission(log, tracing),
        Controls(bus),
        Dependencies(Gate(bus.nc), log, BreakerMetrics(metrics.registry)),
        Kin(log, tracing),
    )
    return Watchdog(
        bus, log, coordinator.settle, WatchdogMetrics(registry), "one", watch_s=0.1, sweep_s=3600
    )


async def admitted(log: Log, *, ago_s: float, time_s: float) -> Loop:
    """A loop that was admitted a while ago."""
    goal = playbook_goal(budget={"iterations": 1, "time": time_s})
    then = datetime.now(UTC) - timedelta(seconds=ago_s)
    data = LoopAdmitted(
        tenant="default",
        goal=goal,
        goal_digest=goal.digest(),
        deadline=then + timedelta(seconds=time_s),
    )
    return await log.append(None, LOOP_ID, data, now=then, token=None, traceparent=None)


async def test_a_loop_whose_timer_was_lost_ends_with_the_sweep(watchdog: Watchdog) -> None:
    await admitted(watchdog.log, ago_s=0, time_s=1)
    await watchdog.settle(LOOP_ID, Begin())
    await watchdog.bus.js.purge_stream(subjects.TIMERS)
    loop = await watchdog.log.load_tip(LOOP_ID)
    assert loop is not None
    assert await watchdog.sweep() == 0  # not overdue yet
    watchdog.overdue = timedelta(0)
    while (left := (loop.deadline - datetime.now(UTC)).total_seconds()) > 0:
        await asyncio.sleep(left)
    assert await watchdog.sweep() == 1
    ended = await watchdog.log.load_tip(LOOP_ID)
    assert ended is not None
    assert ended.ended == "deadline"
    assert await watchdog.sweep() == 0


async def test_a_loop_that_never_began_is_begun(watchdog: Watchdog) -> None:
    await admitted(watchdog.log, ago_s=60, time_s=3600)
    assert await watchdog.sweep() == 1
    loop = await watchdog.log.load_tip(LOOP_ID)
    assert loop is not None
    assert loop.state == "planning"


async def test_a_loop_that_cannot_be_read_keeps_none_from_its_look(watchdog: Watchdog) -> None:
    await admitted(watchdog.log, ago_s=60, time_s=3600)
    js = watchdog.bus.js
    await js.publish("loop.01JQ0000000000000000000000.loop_admitted", b"no event")
    assert await watchdog.sweep() == 1


async def test_a_loop_whose_log_cannot_be_read_ends_at_its_deadline(watchdog: Watchdog) -> None:
    loop = await admitted(watchdog.log, ago_s=0, time_s=1)
    js, every = watchdog.bus.js, subjects.loop_events(LOOP_ID)
    await js.publish(subjects.loop_event(LOOP_ID, "plan_requested"), b"no event")
    await js.publish(subjects.loop_event(LOOP_ID, "loop_held"), b"nor this")
    assert await watchdog.sweep() == 0  # it may yet be mended
    while (left := (loop.deadline - datetime.now(UTC)).total_seconds()) > 0:
        await asyncio.sleep(left)
    watchdog.overdue = timedelta(0)
    stops = await watchdog.bus.nc.subscribe(subjects.stop(LOOP_ID))
    assert await watchdog.sweep() == 1
    stored = [item async for item in watchdog.bus.read(subjects.LOOPS, every, 1)]
    event = decode_event(stored[-1].body)
    assert isinstance(event.data, LoopEnded)
    assert (event.data.outcome, event.data.reason) == ("failed", "quarantined")
    assert "cannot be read: no event" in event.data.detail
    assert (event.n, event.prev) == (3, digest(stored[-2].body))
    assert (await stops.next_msg(timeout=10)).data == b""
    assert await watchdog.sweep() == 0


@pytest.mark.parametrize("kind", ["plan_requested", "loop_dreamt"])
async def test_a_loop_of_a_newer_version_is_left_to_it(watchdog: Watchdog, kind: str) -> None:
    loop = await admitted(watchdog.log, ago_s=60, time_s=1)
    newer = {"minreader": READER + 1, "data": {"kind": kind}}
    await watchdog.bus.js.publish(subjects.loop_event(loop.id, kind), json.dumps(newer).encode())
    assert await watchdog.sweep() == 0
    end = subjects.loop_event(loop.id, "loop_ended")
    assert await watchdog.bus.last(subjects.LOOPS, end) is None


async def test_one_replica_sweeps_in_a_period(watchdog: Watchdog) -> None:
    await admitted(watchdog.log, ago_s=60, time_s=3600)
    watchdog.overdue = timedelta(days=-1)  # every loop is always due
    watchdog.sweep_s = 1e9  # the tests are over before the next period
    assert await watchdog.sweep_if_due() == 1
    assert await replace(watchdog, replica="two").sweep_if_due() == 0
    assert await watchdog.sweep() == 1


async def test_a_message_that_no_consumer_will_deliver_is_seen(
    watchdog: Watchdog, registry: CollectorRegistry
) -> None:
    def stuck() -> float | None:
        return registry.get_sample_value("loopwright_stuck_messages", {"stream": "GOALS"})

    js = watchdog.bus.js
    await watchdog.watch()
    assert stuck() == 0
    config = (await js.consumer_info(subjects.GOALS, "coordinator")).config
    config.max_deliver = 1
    config.ack_wait = 0.2
    await js.add_consumer(subjects.GOALS, config)
    await js.publish("goal.submitted.default", b"x")
    subscription = await js.pull_subscribe_bind("coordinator", subjects.GOALS)
    await subscription.fetch(1, timeout=2)
    while not stuck():
        await asyncio.sleep(0.05)
        await watchdog.watch()
    assert stuck() == 1


def stuck(registry: CollectorRegistry, stream: str) -> float | None:
    return registry.get_sample_value("loopwright_stuck_messages", {"stream": stream})


async def test_every_declared_consumer_has_its_gauges(
    watchdog: Watchdog, registry: CollectorRegistry, settings: ServiceSettings
) -> None:
    await watchdog.watch()
    for item in declarations(settings):
        for consumer in item.consumers:
            labels = {"stream": item.stream.name, "consumer": consumer.durable_name}
            given = {key: str(value) for key, value in labels.items()}
            assert registry.get_sample_value("loopwright_consumer_pending", given) == 0, given
            assert stuck(registry, given["stream"]) == 0


async def test_what_a_deleted_consumer_would_have_delivered_is_stuck_until_it_is_back(
    watchdog: Watchdog, registry: CollectorRegistry, settings: ServiceSettings
) -> None:
    await admitted(watchdog.log, ago_s=0, time_s=60)
    js = watchdog.bus.js
    await js.publish("notify.one.end", b"x")
    await js.delete_consumer(subjects.LOOPS, "learner")
    await js.delete_consumer(subjects.NOTIFY, "notifier")
    await js.publish("dead.goals", b"x")
    await watchdog.watch()
    assert (stuck(registry, subjects.LOOPS), stuck(registry, subjects.NOTIFY)) == (1, 1)
    assert registry.get_sample_value("loopwright_dead_letters_kept") == 1  # the look went on
    await declare(js, settings)
    await watchdog.watch()
    assert (stuck(registry, subjects.LOOPS), stuck(registry, subjects.NOTIFY)) == (0, 0)


def test_the_coordinator_may_look_at_every_consumer(settings: ServiceSettings) -> None:
    may = access("coordinator").sends
    for item in declarations(settings):
        for consumer in item.consumers:
            assert f"$JS.API.CONSUMER.INFO.{item.stream.name}.{consumer.durable_name}" in may
            assert f"$JS.API.STREAM.INFO.{item.stream.name}" in may


async def test_subjects_are_listed_whatever_their_number(bus: Bus, objects: Objects) -> None:
    log = Log(bus, objects, "/coordinator/test")
    await admitted(log, ago_s=0, time_s=60)
    assert await open_loops(bus.nc) == await admitted_loops(bus.nc) == {LOOP_ID}
    assert await subjects_of(bus.nc, subjects.LOOPS, "loop.*.loop_ended") == {}
