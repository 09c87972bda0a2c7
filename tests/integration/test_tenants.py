"""Tenants' quotas on a real bus: goals wait or are refused, leases come home, nothing is kept
anywhere else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from line import Line
from loopwright import subjects
from loopwright.budget import NOTHING
from loopwright.control import Amend, BudgetChange
from loopwright.errors import UnreadableError
from loopwright.loop import Loop
from loopwright.service.consumers import COORDINATOR
from loopwright.service.step import Request
from loopwright.tenants import Tenants
from loopwright.testing import LOOP_ID, model_goal, playbook_goal
from loopwright_coordinator.inputs import Input
from loopwright_coordinator.log import Log
from waiting import until


def goal(**overrides: Any) -> bytes:
    return model_goal(**overrides).model_dump_json(exclude_none=True, by_alias=True).encode()


async def test_goals_over_the_quota_wait_and_are_admitted_one_after_the_other(line: Line) -> None:
    tenants = Tenants(line.bus.nc)
    await tenants.set("default", {"loops": 1})
    running, most = 0, 0

    async def count(_: Request[Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)

    async def done(_: Request[Any]) -> None:
        nonlocal running
        running -= 1

    line.script.before = {"planner": count, "verifier": done}
    for _ in range(3):
        line.coordinator()
    await line.work(*("planner", "executor", "verifier") * 3)
    answers = [await line.submit(goal()) for _ in range(4)]
    assert all(answer["accepted"] for answer in answers)
    assert any(answer.get("queued") for answer in answers)
    for answer in answers:
        await line.events(str(answer["loop"]))
    assert most == 1

    async def home() -> bool:
        return not (await tenants.show("default")).leases

    await until(home, 60)


async def test_what_a_loop_did_not_spend_comes_home_and_what_it_spent_is_counted(
    line: Line,
) -> None:
    tenants = Tenants(line.bus.nc)
    await tenants.set("default", {"usd_day": "0.015", "tokens_total": 50_000})
    line.coordinator()
    line.coordinator()
    first = await line.submit(goal())
    assert (await tenants.show("default")).leased.cost_microusd == 10_000
    await line.work()
    await line.events(str(first["loop"]))

    async def home() -> bool:
        return (await tenants.show("default")).leased == NOTHING

    await until(home, 60)
    spent = (await line.loop(str(first["loop"]))).spent
    held = await tenants.show("default")
    assert held.total == held.day.spent == spent


async def test_a_goal_that_no_quota_can_cover_is_refused_and_uses_up_no_id(line: Line) -> None:
    tenants = Tenants(line.bus.nc)
    await tenants.set("default", {"usd_total": "0.001"})
    line.coordinator()
    answer = await line.submit(goal())
    assert not answer["accepted"]
    assert answer["faults"][0]["path"] == "budget.usd"
    unlimited = {"planner": {"backend": "openai"}, "budget": {"tokens": 1000}}
    answer = await line.submit(goal(**unlimited))
    assert "a goal must set its own" in answer["faults"][0]["message"]
    assert (await tenants.show("default")).leases == {}
    free = playbook_goal().model_dump_json(exclude_none=True, by_alias=True).encode()
    assert (await line.submit(free))["accepted"]


async def test_an_amendment_over_the_quota_is_refused(line: Line) -> None:
    await Tenants(line.bus.nc).set("default", {"usd_total": "0.02"})
    line.coordinator()
    loop = str((await line.submit(goal()))["loop"])
    for number, (usd, accepted) in enumerate((("0.03", False), ("0.02", True))):
        budget = BudgetChange.model_validate({"usd": usd})
        said = await line.say(loop, Amend(id=f"amend-{number:03}", budget=budget))
        assert said["accepted"] is accepted, said
    assert (await Tenants(line.bus.nc).show("default")).leased.cost_microusd == 20_000


class Late(Log):
    """A log that does not know of a loop when it is asked for the first time."""

    asked = False

    async def load_tip(self, loop_id: str) -> Loop | None:
        known = self.asked
        self.asked = True
        return await Log.load_tip(self, loop_id) if known else None


async def test_a_lease_for_an_id_that_another_tenant_took_comes_home(line: Line) -> None:
    tenants = Tenants(line.bus.nc)
    await tenants.set("late", {"usd_day": "0.015"})
    first, coordinator = line.built(), line.built()
    log = Late(line.bus, line.objects, "/coordinator/late")
    coordinator.admission = replace(coordinator.admission, log=log)
    settle = AsyncSettle()
    body = goal(id=LOOP_ID)
    for tenant, admission in (("default", first.admission), ("late", coordinator.admission)):
        subject = subjects.goal_submitted(tenant)
        await line.bus.publish(subject, body, stream=subjects.GOALS)
        pull = await line.bus.js.pull_subscribe_bind(COORDINATOR, subjects.GOALS)
        (message,) = await pull.fetch(1, timeout=60)
        if tenant == "default":
            await admission.handle(message, settle)
        else:
            with pytest.raises(UnreadableError, match="is the id of another goal"):
                await admission.handle(message, settle)
        await message.ack()
    assert settle.settled == [LOOP_ID]
    assert (await tenants.show("late")).leases == {}


class AsyncSettle:
    """Decides nothing."""

    def __init__(self) -> None:
        self.settled: list[str] = []

    async def __call__(self, loop_id: str, _: Input) -> None:
        self.settled.append(loop_id)
