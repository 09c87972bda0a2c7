"""The races of a grant on a real bus: stale folds, expired grants, deadlines, broken decisions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from line import Line
from loopwright import subjects
from loopwright.events import LoopAdmitted
from loopwright.goal import Goal
from loopwright.ids import new_loop_id
from loopwright.loop import Loop
from loopwright.service.step import Request
from loopwright.testing import playbook_goal
from loopwright_coordinator.app import Coordinator
from loopwright_coordinator.inputs import Begin, Decision, Input


async def admitted(coordinator: Coordinator, goal: Goal) -> str:
    """A loop that one coordinator admitted and knows of."""
    loop, now = new_loop_id(), datetime.now(UTC)
    data = LoopAdmitted(
        tenant="default",
        goal=goal,
        goal_digest=goal.digest(),
        deadline=now + timedelta(seconds=goal.budget.time),
    )
    await coordinator.log.append(None, loop, data, now=now, token=None, traceparent=None)
    return loop


async def test_a_result_is_not_ignored_on_a_fold_that_is_stale(line: Line) -> None:
    stale, other = line.built(), line.built()
    loop = await admitted(stale, playbook_goal())
    await other.settle(loop, Begin())  # grants a step, of which the first has not heard
    line.coordinator(stale)
    await line.work()
    await line.events(loop)
    assert (await line.loop(loop)).ended == "achieved"
    assert line.script.calls == ["planner", "executor", "verifier"]


async def test_a_grant_that_has_expired_is_left_alone(line: Line) -> None:
    coordinator = line.built()
    loop = await admitted(coordinator, playbook_goal(limits={"plan_time": 0.2}))
    await coordinator.settle(loop, Begin())
    subscription = await line.bus.js.pull_subscribe_bind("planner", subjects.LOOPS)
    (message,) = await subscription.fetch(1, timeout=60)
    opened = (await line.loop(loop)).open
    assert opened is not None
    while (left := (opened.grant.deadline - datetime.now(UTC)).total_seconds()) > 0:
        await asyncio.sleep(left)
    await line.worker("planner").on_delivery(message)
    assert line.script.calls == []
    assert (await line.bus.js.stream_info(subjects.RESULTS)).state.messages == 0


async def test_a_step_is_stopped_at_its_deadline(line: Line) -> None:
    stopped = asyncio.Event()

    async def linger(request: Request[Any]) -> None:
        async with asyncio.timeout(30):  # so that a step that is not stopped ends too
            await request.stop.wait()
        stopped.set()

    line.script.before["planner"] = linger
    coordinator = line.built()  # it only grants: no signal of its stops the step
    await coordinator.settle(
        await admitted(coordinator, playbook_goal(limits={"plan_time": 2})), Begin()
    )
    await line.work("planner")
    await asyncio.wait_for(stopped.wait(), 30)


def broken(_loop: Loop, received: Input, _now: datetime, _nonce: str, down: object) -> Decision:
    raise ZeroDivisionError(f"on {type(received).__name__}")


async def test_a_loop_on_which_nothing_can_be_decided_is_quarantined_at_its_deadline(
    line: Line,
) -> None:
    whole = line.built()
    loop = await admitted(whole, playbook_goal(budget={"iterations": 1, "time": 2}))
    await whole.settle(loop, Begin())
    coordinator = line.built()
    coordinator.decide = broken
    line.coordinator(coordinator)
    end = (await line.events(loop))[-1].data
    assert end.kind == "loop_ended"
    assert (end.outcome, end.reason) == ("failed", "quarantined")
    assert "ZeroDivisionError: on Woken" in end.detail
