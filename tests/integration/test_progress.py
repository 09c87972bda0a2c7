"""Progress on a real bus: whoever watches hears it, and nobody else needs to."""

from __future__ import annotations

from loopwright.client import Client
from loopwright.progress import StepProgress
from loopwright.service.bus import Bus
from loopwright.testing import LOOP_ID
from loopwright_planner.telling import BusTelling
from planning import openai_goal, plan_request
from servers import Server
from waiting import until


async def test_who_watches_hears_how_far_an_answer_is(bus: Bus, nats_process: Server) -> None:
    told = BusTelling(bus.nc).of(plan_request(openai_goal()), "test-model")
    heard: list[StepProgress] = []

    async def some() -> bool:
        return bool(heard)

    async with Client(nats_process.url) as client, client.progress(LOOP_ID, heard.append):
        await client.nc.flush()
        await bus.nc.publish(f"progress.{LOOP_ID}", b"of another version")
        await told(0)
        await told(41)
        await until(some)
    expected = {"role": "planner", "iteration": 1, "attempt": 1, "model": "test-model"}
    assert [item.model_dump() for item in heard] == [expected | {"output_tokens": 11}]
