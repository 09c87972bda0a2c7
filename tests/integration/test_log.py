"""Appends on a real server: exactly once, one winner, read back, through kills."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loopwright import subjects
from loopwright.chain import decode_event, digest
from loopwright.errors import BusUnavailableError, ConflictError, PayloadTooLargeError
from loopwright.events import LoopAdmitted, LoopControlled
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.objects import Objects
from loopwright.payloads import INLINE_BYTES
from loopwright.service.bus import MAX_MESSAGE_BYTES, Bus, Expect
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright_coordinator.log import Log
from servers import Server


def admitted(goal: Goal | None = None) -> LoopAdmitted:
    goal = goal or playbook_goal()
    deadline = datetime.now(UTC) + timedelta(hours=1)
    return LoopAdmitted(tenant="default", goal=goal, goal_digest=goal.digest(), deadline=deadline)


def word() -> LoopControlled:
    return LoopControlled()


async def append(log: Log, loop: Loop | None, data: Any) -> Loop:
    return await log.append(
        loop, LOOP_ID, data, now=datetime.now(UTC), token=None, traceparent=None
    )


async def test_a_loop_is_read_back_as_it_was_appended(bus: Bus, objects: Objects) -> None:
    writer = Log(bus, objects, "/w")
    loop = await append(writer, None, admitted())
    for _ in range(5):
        loop = await append(writer, loop, word())
    assert await Log(bus, objects, "/r").load_tip(LOOP_ID) == loop


async def test_a_log_longer_than_one_read_is_read_whole(bus: Bus, objects: Objects) -> None:
    writer = Log(bus, objects, "/w")
    loop = await append(writer, None, admitted())
    for _ in range(300):
        loop = await append(writer, loop, word())
    assert await Log(bus, objects, "/r").load_tip(LOOP_ID) == loop


async def test_of_many_appends_on_one_tip_one_wins(bus: Bus, objects: Objects) -> None:
    logs = [Log(bus, objects, f"/{index}") for index in range(8)]
    loop = await append(logs[0], None, admitted())
    for _ in range(15):
        tries = [append(log, loop, word()) for log in logs]
        results = await asyncio.gather(*tries, return_exceptions=True)
        won = [result for result in results if isinstance(result, Loop)]
        assert len(won) == 1
        assert all(isinstance(r, ConflictError) for r in results if not isinstance(r, Loop))
        loop = won[0]
    assert loop.n == 15


async def test_a_stale_fold_loses_its_append_and_then_reads_the_tip(
    bus: Bus, objects: Objects
) -> None:
    first, second = Log(bus, objects, "/1"), Log(bus, objects, "/2")
    loop = await append(first, None, admitted())
    stale = await second.load(LOOP_ID, at_least=0)
    ahead = await append(first, loop, word())
    with pytest.raises(ConflictError):
        await append(second, stale, word())
    assert await second.load(LOOP_ID, at_least=0) == ahead


async def test_a_stored_append_whose_answer_is_lost_succeeds(bus: Bus, objects: Objects) -> None:
    class Deaf(Bus):
        lost = 0

        async def publish(self, subject: str, body: bytes, **rest: Any) -> int:
            seq = await super().publish(subject, body, **rest)
            if subject.startswith("loop.") and self.lost == 0:
                self.lost = seq
                raise BusUnavailableError("the answer is lost")
            return seq

    deaf = Deaf(bus.nc)
    loop = await append(Log(deaf, objects, "/w"), None, admitted())
    assert (deaf.lost, loop.tip, loop.n) == (1, 1, 0)


async def test_an_append_whose_answer_is_lost_is_no_conflict_once_another_followed_it(
    bus: Bus, objects: Objects
) -> None:
    other = Log(bus, objects, "/other")

    class Deaf(Bus):
        deaf = False

        async def publish(self, subject: str, body: bytes, **rest: Any) -> int:
            seq = await super().publish(subject, body, **rest)
            if self.deaf:
                self.deaf = False
                await append(other, await other.load_tip(LOOP_ID), word())
                raise BusUnavailableError("the answer is lost")
            return seq

    deaf = Deaf(bus.nc)
    log = Log(deaf, objects, "/w")
    first = await append(log, None, admitted())
    deaf.deaf = True
    second = await append(log, first, word())
    assert (second.n, second.tip) == (1, 2)
    assert (await Log(bus, objects, "/r").load_tip(LOOP_ID) or first).n == 2


async def test_an_append_outlives_a_killed_server(
    nats_process: Server, bus: Bus, objects: Objects
) -> None:
    log = Log(bus, objects, "/w")
    loop = await append(log, None, admitted())
    for _ in range(3):
        nats_process.kill()
        waiting = asyncio.create_task(append(log, loop, word()))
        nats_process.start()
        loop = await waiting
    assert await Log(bus, objects, "/r").load_tip(LOOP_ID) == loop
    info = await bus.js.stream_info(subjects.LOOPS)
    assert info.state.messages == 4


async def test_a_large_event_travels_by_reference(bus: Bus, objects: Objects) -> None:
    goal = playbook_goal(workspace={"files": {"big": "x" * (INLINE_BYTES + 1)}})
    loop = await append(Log(bus, objects, "/w"), None, admitted(goal))
    stored = await bus.last(subjects.LOOPS, subjects.loop_events(LOOP_ID))
    assert stored is not None
    assert len(stored.body) < 1000
    again = await Log(bus, objects, "/r").load_tip(LOOP_ID)
    assert again == loop
    assert again is not None
    assert again.goal == goal


async def test_a_message_beyond_the_cap_is_refused_before_it_is_sent(bus: Bus) -> None:
    with pytest.raises(PayloadTooLargeError):
        await bus.publish(
            "claim.x", b"x" * MAX_MESSAGE_BYTES, stream=subjects.CLAIMS, headers={"a": "b"}
        )
    assert bus.nc.is_connected


async def test_the_chain_is_over_the_stored_bodies(bus: Bus, objects: Objects) -> None:
    log = Log(bus, objects, "/w")
    loop = await append(log, None, admitted())
    await append(log, loop, word())
    bodies = [s.body async for s in bus.read(subjects.LOOPS, subjects.loop_events(LOOP_ID), 1)]
    assert decode_event(bodies[1]).prev == digest(bodies[0])


async def test_compare_and_set_covers_every_subject_of_a_loop(bus: Bus) -> None:
    every = subjects.loop_events(LOOP_ID)
    kinds = [subjects.loop_event(LOOP_ID, kind) for kind in ("a", "b", "c", "d")]
    tries = [
        bus.publish(subject, b"{}", stream=subjects.LOOPS, expect=Expect(0, every))
        for subject in kinds
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
