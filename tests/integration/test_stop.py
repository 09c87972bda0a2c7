"""A loop that was stopped: nothing more of it is done, whoever heard of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from line import Line
from loopwright import subjects
from loopwright.chain import LoopEvent
from loopwright.control import Cancel, Control, Pause
from loopwright.service.step import Request
from loopwright.testing import playbook_goal
from loopwright_coordinator.inputs import TakeClaim
from waiting import until

WORDS: list[Control] = [Cancel(id="stop-0001"), Pause(id="stop-0001", now=True)]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.kind)
async def test_a_queued_grant_of_a_stopped_loop_is_not_begun(line: Line, word: Control) -> None:
    line.coordinator()
    loop = await line.start(playbook_goal())
    await line.events(loop, "plan_requested")
    assert (await line.say(loop, word))["accepted"]
    await line.work("planner")

    async def read() -> bool:
        info = await line.bus.js.consumer_info(subjects.LOOPS, "planner")
        return not info.num_pending and not info.num_ack_pending

    await until(read)
    assert line.script.calls == []


@pytest.mark.parametrize(("days", "free"), [(1, True), (7, False)])
async def test_an_attempt_older_than_the_claims_are_kept_counts_as_begun(
    line: Line, days: int, free: bool
) -> None:
    coordinator = line.built()
    line.coordinator(coordinator)
    loop = await line.loop((await _asked(line))[-1].subject)
    assert loop.open is not None
    deadline = loop.open.grant.deadline - timedelta(days=days)
    grant = loop.open.grant.model_copy(update={"deadline": deadline})
    assert await coordinator._take_claim(loop, TakeClaim(grant)) is free


async def _asked(line: Line) -> list[LoopEvent]:
    return await line.events(await line.start(playbook_goal()), "plan_requested")


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.kind)
async def test_a_worker_that_did_not_hear_the_signal_stops_at_a_heartbeat(
    line: Line, word: Control
) -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def runs_until_stopped(request: Request[Any]) -> None:
        running.set()
        await request.stop.wait()
        stopped.set()

    line.script.before["planner"] = runs_until_stopped
    line.settings = line.settings.model_copy(update={"ack_wait_s": 0.6})
    line.coordinator()
    deaf = line.worker("planner")
    line.tasks.append(asyncio.create_task(line._consume("planner", deaf)))
    loop = await line.start(playbook_goal())
    await asyncio.wait_for(running.wait(), 60)
    assert (await line.say(loop, word))["accepted"]
    await asyncio.wait_for(stopped.wait(), 20)
