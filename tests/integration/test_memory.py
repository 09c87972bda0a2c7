"""Memory on a real bus: learned once, recalled by its tenant only, forgotten for good."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from nats.aio.msg import Msg

from line import dead_letters
from loopwright import subjects
from loopwright.ids import new_loop_id
from loopwright.memory import Kept, Recalled, fact_id
from loopwright.objects import Objects
from loopwright.plan import Plan
from loopwright.service.bus import Bus
from loopwright.service.consumers import LEARNER
from loopwright.testing import EPOCH, MemoryLog, model_goal
from loopwright_planner.recall import StateRecall, question
from planning import openai_goal, plan_request, verdict_of
from proving import figures
from remembering import ask, recall, remembering
from table import R1, TOUCH, Table
from waiting import until

FACT = "Ports of the staging cluster are odd numbers."


def ended(sequence: Any, tenant: str = "default") -> MemoryLog:
    """A verified loop whose plan kept a fact."""
    log = MemoryLog(new_loop_id(), sequence)
    table = Table(model_goal(), log=log) if tenant == "default" else _of(tenant, log)
    table.begin()
    table.plan(Plan(summary="find the ports", actions=(TOUCH,), remember=(FACT,)))
    table.execute(R1)
    table.verdict("a", "b")
    return log


def _of(tenant: str, log: MemoryLog) -> Table:
    class Admitted(MemoryLog):
        """A log whose loop is of another tenant."""

        def admit(self, goal: Any, **_: Any) -> Any:
            return super().admit(goal, at=EPOCH, tenant=tenant)

    mine = Admitted(log.loop_id, log.sequence)
    table = Table(model_goal(), log=mine)
    log.bodies, log.seqs = mine.bodies, mine.seqs
    return table


async def store(bus: Bus, log: MemoryLog) -> None:
    for event, body in zip(log.events, log.bodies, strict=True):
        await bus.js.publish(subjects.loop_event(log.loop_id, event.data.kind), body)


def listed(bus: Bus, tenant: str, many: int) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """The tenant's memories once there are so many."""

    async def there() -> list[dict[str, Any]]:
        found = (await ask(bus, subjects.memories(tenant), {}))["memories"]
        return found if len(found) == many else []

    return there


async def test_an_ended_loop_leaves_its_facts_and_a_lesson(bus: Bus, objects: Objects) -> None:
    log = ended(count(1))
    await store(bus, log)
    async with remembering(bus, objects):
        found = await until(listed(bus, "default", 2), 30)
        assert {item["kind"] for item in found} == {"fact", "lesson"}
        (first, *_) = await recall(bus, "default", "which port has the staging cluster?")
        assert (first["text"], first["loop"], first["outcome"]) == (FACT, log.loop_id, "achieved")
        only = await ask(bus, subjects.memories("default"), {"kind": "lesson", "tag": "shell"})
        assert [item["id"] for item in only["memories"]] == [f"lesson-{log.loop_id}"]


async def test_no_tenant_is_told_what_another_has_learned(bus: Bus, objects: Objects) -> None:
    sequence = count(1)
    for tenant in ("red", "blue"):
        await store(bus, ended(sequence, tenant))
    async with remembering(bus, objects):
        red = await until(listed(bus, "red", 2), 30)
        blue = await until(listed(bus, "blue", 2), 30)
        assert not {item["loop"] for item in red} & {item["loop"] for item in blue}
        assert {m["loop"] for m in await recall(bus, "red", FACT)} == {red[0]["loop"]}
        assert await recall(bus, "green", FACT) == []
        other = await ask(bus, subjects.memories("red"), {"id": blue[0]["id"], "tenant": "blue"})
        assert "tenant" in other["error"]
        foreign = next(item["id"] for item in blue if item["kind"] == "lesson")
        assert "no memory" in (await ask(bus, subjects.forget("red"), {"id": foreign}))["error"]
        query = {"text": FACT, "loop": blue[0]["loop"]}
        assert "no loop" in (await ask(bus, subjects.recall("red"), query))["error"]


async def test_a_record_on_the_subject_of_another_tenant_is_not_taken(
    bus: Bus, objects: Objects
) -> None:
    memory = Kept(id=fact_id("red", FACT), tenant="red", kind="fact", text=FACT, loop="l",
                  confidence=1, at=EPOCH)  # fmt: skip
    await bus.js.publish(subjects.memory("blue", memory.id), memory.model_dump_json().encode())
    await bus.js.publish(subjects.memory("blue", "fact-00000000"), b"rubbish")
    async with remembering(bus, objects):
        for tenant in ("red", "blue"):
            assert (await ask(bus, subjects.memories(tenant), {}))["memories"] == []


async def test_what_is_forgotten_stays_so_whoever_learns_it_again(
    bus: Bus, objects: Objects
) -> None:
    sequence, wanted = count(1), fact_id("default", FACT)
    await store(bus, ended(sequence))
    async with remembering(bus, objects):
        await until(listed(bus, "default", 2), 30)
        assert (await ask(bus, subjects.forget("default"), {"id": wanted}))["forgotten"] == wanted
        assert len((await ask(bus, subjects.memories("default"), {}))["memories"]) == 1
        await store(bus, ended(sequence))
        found = await until(listed(bus, "default", 2), 30)
        assert {item["kind"] for item in found} == {"lesson"}
    async with remembering(bus, objects):  # a new replica, that knows nothing
        found = await until(listed(bus, "default", 2), 30)
        assert {item["kind"] for item in found} == {"lesson"}
    stored = await bus.last(subjects.MEMORY, subjects.memory("default", wanted))
    assert stored is not None
    assert b"staging" not in stored.body


async def test_a_log_that_cannot_be_read_teaches_nothing_and_holds_up_nobody(
    bus: Bus, objects: Objects
) -> None:
    sequence = count(1)
    broken = ended(sequence)
    broken.bodies[1] = b"{}"
    for number, event in enumerate(ended(count(1)).events):
        body = broken.bodies[number]
        await bus.js.publish(subjects.loop_event(broken.loop_id, event.data.kind), body)
    await store(bus, ended(sequence))
    async with remembering(bus, objects):
        found = await until(listed(bus, "default", 2), 30)
        assert broken.loop_id not in {item["loop"] for item in found}

        async def all_heard() -> bool:
            info = await bus.js.consumer_info(subjects.LOOPS, LEARNER)
            return not info.num_pending and not info.num_ack_pending

        await until(all_heard)
    assert await dead_letters(bus) == []


async def test_what_a_loop_has_done_can_be_searched(bus: Bus, objects: Objects) -> None:
    log = ended(count(1))
    await store(bus, log)
    async with remembering(bus, objects):
        query = {"text": "find ports", "loop": log.loop_id}
        (episode,) = (await ask(bus, subjects.recall("default"), query))["memories"]
        assert (episode["kind"], episode["iteration"]) == ("episode", 1)


async def test_a_planner_is_told_what_fits_its_goal_and_what_fails(
    bus: Bus, objects: Objects
) -> None:
    await store(bus, ended(count(1)))
    goal = openai_goal(objective="Name the ports of the staging cluster.")
    request = plan_request(goal, verdict=verdict_of(a="failed", b="passed"))
    assert "a failed" in question(request)
    assert "b passed" not in question(request)
    async with remembering(bus, objects):
        await until(listed(bus, "default", 2), 30)
        told = await StateRecall(bus.nc)(request)
        assert FACT in [item.text for item in told]


async def test_without_a_state_service_a_planner_goes_on_with_nothing(bus: Bus) -> None:
    request = plan_request(openai_goal())
    assert await StateRecall(bus.nc)(request) == ()


async def test_an_answer_that_is_slow_or_rubbish_costs_the_memories_only(bus: Bus) -> None:
    request = plan_request(openai_goal())
    said: list[bytes] = [b"no json", b"[]", b'{"error": "no"}', b'{"memories": [{}]}', b"{}"]

    async def answer(message: Msg) -> None:
        if said:
            await message.respond(said.pop())

    subscription = await bus.nc.subscribe(subjects.recall("*"), cb=answer)
    for _ in range(5):
        assert await StateRecall(bus.nc)(request) == ()
    assert not said
    assert await StateRecall(bus.nc, answer_s=0.2)(request) == ()
    await subscription.unsubscribe()


def test_a_memory_travels_as_it_is() -> None:
    item = Recalled(id="fact-1", kind="fact", text=FACT, loop="l", score=1.5)
    assert Recalled.model_validate(json.loads(item.model_dump_json())) == item


def test_the_right_lesson_is_recalled_and_reaches_the_prompt() -> None:
    found = figures("recalling")
    assert found["recall_at_5"] >= 0.9
    assert found["in_prompt"] >= 0.9 * found["goals"]
    assert found["leaks"] == 0
