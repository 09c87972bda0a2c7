"""The line on a real bus: the real coordinator and worker shells around scripted steps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from line import Line, dead_letters, kinds
from loopwright import subjects
from loopwright.audit import Entry, audit
from loopwright.breakers import Breakers
from loopwright.client import Client
from loopwright.errors import BusUnavailableError
from loopwright.events import LoopHeld, PlanRequested
from loopwright.ids import new_loop_id
from loopwright.plan import Plan
from loopwright.results import PlanProposed
from loopwright.service.claims import claim
from loopwright.service.step import Performed, Request
from loopwright.service.worker import Answer
from loopwright.testing import model_goal, playbook_goal
from servers import Server
from waiting import until


async def test_a_goal_goes_round_until_it_is_verified(line: Line) -> None:
    line.script.passed = [("a",), ("a", "b")]
    line.coordinator()
    await line.work()
    events = await line.events(await line.start(playbook_goal()))
    iteration = ["plan_requested", "execution_requested", "verification_requested"]
    assert kinds(events) == ["loop_admitted", *iteration, *iteration, "loop_ended"]
    loop = await line.loop(events[0].subject)
    assert (loop.ended, loop.iteration) == ("achieved", 2)


async def test_three_coordinators_and_doubled_workers_settle_each_step_once(line: Line) -> None:
    line.script.passed = [("a",)]
    for _ in range(3):
        line.coordinator()
    await line.work(*subjects.ROLES, *subjects.ROLES)
    goals = [await line.start(playbook_goal()) for _ in range(10)]
    for goal in goals:
        loop = (await line.events(goal))[-1].subject
        assert (await line.loop(loop)).reason == "iterations"
    assert len(line.script.calls) == 10 * 9


async def test_a_loop_whose_model_is_down_waits_and_goes_on_when_its_breaker_closes(
    line: Line,
) -> None:
    line.coordinator()
    line.coordinator()
    await line.work()
    breakers, name = Breakers(line.bus.nc), "llm:test-model"
    await breakers.open(name, "maintenance")
    loop = await line.start(model_goal())
    held = (await line.events(loop, "loop_held"))[-1].data
    assert isinstance(held, LoopHeld)
    assert (held.hold, held.dependency) == ("backing_off", name)
    assert line.script.calls == []
    await breakers.close(name)
    assert kinds(await line.events(loop))[-1] == "loop_ended"
    assert (await line.loop(loop)).ended == "achieved"


async def test_the_same_id_twice_is_one_loop(line: Line) -> None:
    line.coordinator()
    goal = playbook_goal(id=new_loop_id()).model_dump_json(exclude_none=True).encode()
    first, second = await line.submit(goal), await line.submit(goal)
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["loop"] == second["loop"]
    other = playbook_goal(id=first["loop"], name="another").model_dump_json(exclude_none=True)
    refused = await line.submit(other.encode())
    assert "another goal" in refused["faults"][0]["message"]
    assert (await line.loop(first["loop"])).goal.name == "two-files"


async def test_an_id_is_not_another_tenants_to_ask_about(line: Line) -> None:
    line.coordinator()
    goal = playbook_goal(id=new_loop_id()).model_dump_json(exclude_none=True).encode()
    assert (await line.submit(goal, "one"))["accepted"]
    assert not (await line.submit(goal, "two"))["accepted"]


async def test_an_invalid_goal_is_answered_with_every_fault_and_buried(line: Line) -> None:
    line.coordinator()
    answer = await line.submit(b'{"name": "x", "typo": 1}')
    paths = [fault["path"] for fault in answer["faults"]]
    assert paths == ["objective", "planner", "verify", "typo"]
    assert [letter["stream"] for letter in await dead_letters(line.bus)] == ["GOALS"]
    assert (await line.bus.js.stream_info(subjects.LOOPS)).state.messages == 0


async def test_cancel_reaches_a_running_step_at_once(line: Line) -> None:
    stopped, started = asyncio.Event(), asyncio.Event()

    async def linger(request: Request[Any]) -> None:
        started.set()
        async with asyncio.timeout(30):  # so that a step that is not stopped ends too
            await request.stop.wait()
        stopped.set()

    line.script.before["executor"] = linger
    # No heartbeat in this test: one would see the end too.
    line.settings = line.settings.model_copy(update={"ack_wait_s": 600})
    line.coordinator()
    await line.work()
    loop = await line.start(playbook_goal())
    await asyncio.wait_for(started.wait(), 60)
    assert (await line.cancel(loop))["accepted"]
    await asyncio.wait_for(stopped.wait(), 25)  # by the signal: the grant lasts far longer
    assert (await line.loop(loop)).ended == "cancelled"
    again = await line.cancel(loop)
    assert again["accepted"]


async def test_the_end_of_a_loop_is_told_to_its_workers(line: Line) -> None:
    told = await line.bus.nc.subscribe(subjects.stop("*"))
    line.coordinator()
    loop = await line.start(playbook_goal())
    assert (await line.cancel(loop))["accepted"]
    assert (await told.next_msg(timeout=30)).subject == subjects.stop(loop)


async def test_control_of_an_unknown_loop_is_answered(line: Line) -> None:
    line.coordinator()
    answer = await line.cancel(new_loop_id())
    assert not answer["accepted"]
    assert "there is no loop" in answer["reason"]


async def test_a_redelivery_that_finds_the_claim_taken_reports_the_worker_lost(
    line: Line,
) -> None:
    line.coordinator()
    loop = await line.start(playbook_goal())
    subject = subjects.claim("planner", loop, 1, 1)
    assert (await claim(line.bus, subject, "a worker that died")).ours
    await line.work()
    events = await line.events(loop)
    settled = events[2].data.settles
    assert settled is not None
    assert (settled.status, settled.attempt) == ("worker_lost", 1)
    assert (await line.loop(loop)).ended == "achieved"


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), BusUnavailableError("no answer")])
async def test_a_step_of_which_nobody_knows_what_it_used_is_charged_in_full(
    line: Line, fault: Exception
) -> None:
    async def fail(_: Request[Any]) -> None:
        raise fault

    line.script.before["planner"] = fail
    line.coordinator()
    await line.work()
    loop = await line.start(model_goal(limits={"attempts": 1, "patience": 1}))
    granted, settled = (await line.events(loop))[1:3]
    assert isinstance(granted.data, PlanRequested)
    assert settled.data.settles is not None
    assert settled.data.settles.charged == granted.data.grant.reserved
    assert settled.data.settles.charged.tokens > 0


async def test_what_follows_an_end_is_read_too(line: Line, nats_process: Server) -> None:
    line.coordinator()
    await line.work()
    events = await line.events(await line.start(playbook_goal()))
    loop, end = events[-1].subject, events[-1].encode()
    await line.bus.js.publish(subjects.loop_event(loop, "loop_ended"), end)
    async with Client(nats_process.url) as client:
        entries = [
            Entry(item.event, item.seq, item.body_digest)
            async for item in client.events(loop, follow=False)
        ]
        assert len([item async for item in client.events(loop)]) == len(events)
    assert "the loop ended 2 times" in audit(entries)


async def test_a_missed_deadline_is_noticed_by_the_durable_timer(line: Line) -> None:
    line.coordinator()
    goal = playbook_goal(limits={"plan_time": 0.3}, budget={"iterations": 1, "time": 60})
    loop = await line.start(goal)

    async def granted_again() -> bool:
        return (await line.loop(loop)).attempt > 1

    await until(granted_again)
    settled = (await line.log(loop))[-1].data.settles
    assert settled is not None
    assert settled.status == "not_started"


async def test_the_loops_deadline_ends_it_without_any_worker(line: Line) -> None:
    line.coordinator()
    loop = await line.start(playbook_goal(budget={"iterations": 1, "time": 1}))
    assert (await line.events(loop))[-1].data.kind == "loop_ended"
    assert (await line.loop(loop)).ended == "deadline"


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        ("goal.submitted.default", "GOALS"),
        ("control.01JQZZZZZZZZZZZZZZZZZZZZZZ", "CONTROL"),
        ("result.planner.01JQZZZZZZZZZZZZZZZZZZZZZZ", "RESULTS"),
    ],
)
async def test_a_malformed_message_is_a_dead_letter_and_touches_nothing_else(
    line: Line, subject: str, stream: str
) -> None:
    line.coordinator()
    await line.work()
    for body in (b"", b"0", b"{", b'{"a": 1}', b"\xff\xfe", b"[" * 1000):
        await line.bus.js.publish(subject, body)
    events = await line.events(await line.start(playbook_goal()))
    assert events[-1].data.kind == "loop_ended"

    async def all_buried() -> list[dict[str, Any]]:
        letters = await dead_letters(line.bus)
        return letters if len(letters) == 6 else []

    letters = await until(all_buried)
    assert {letter["stream"] for letter in letters} == {stream}
    assert all(letter["reason"] for letter in letters)


async def test_a_result_with_a_forged_token_changes_nothing(line: Line) -> None:
    line.coordinator()
    loop = await line.start(playbook_goal())
    opened = (await line.loop(loop)).open
    assert opened is not None
    worker = line.worker("planner")
    event = (await line.events(loop, "plan_requested"))[-1]
    forged = Answer(worker, event, opened.grant, "forged", opened.seq)
    performed = Performed(PlanProposed(plan=Plan(summary="evil", rule="work")))
    await forged.send(performed)
    await line.work()
    events = await line.events(loop)
    assert all("evil" not in event.encode().decode() for event in events)
    assert (await line.loop(loop)).ended == "achieved"


async def test_one_trace_runs_through_every_event_of_a_loop(line: Line) -> None:
    line.coordinator()
    await line.work()
    events = await line.events(await line.start(playbook_goal()))
    traces = {str(event.traceparent).split("-")[1] for event in events}
    assert len(traces) == 1
