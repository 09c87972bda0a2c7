"""Whether an iteration costs the same late in a loop as early, and what a parked loop weighs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median

from nats.aio.msg import Msg

from benchmarks.load import REST_S, measure
from benchmarks.processes import used
from benchmarks.systems import System, ids
from loopwright import subjects
from loopwright.testing import model_goal

#: Iterations that are compared at a loop's beginning and at its end.
WINDOW = 100
#: All parked loops must be held within this, in seconds.
HELD_S = 600.0


@dataclass(frozen=True, slots=True)
class Flat:
    """A figure with its name and unit."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')}: {self.value:g} {self.unit}".rstrip()


async def lengths(system: System, iterations: int) -> list[Flat]:
    """The median iteration at the end of one long loop over that at its beginning."""
    if not iterations:
        return []
    one = await measure(system, at_once=1, loops=1, iterations=iterations)
    window = min(WINDOW, iterations // 2)
    # The first is not counted: what a loop's first step loads is kept for the others.
    early, late = one.iteration_s[1 : window + 1], one.iteration_s[-window:]
    return [
        Flat("iterations_of_the_long_loop", iterations, ""),
        Flat("late_over_early", round(median(late) / median(early), 2), "times"),
    ]


async def parked(system: System, loops: int) -> list[Flat]:
    """What loops that wait for a person weigh in each process of the product, in KB a loop.

    Their planner has no key for the model that their goal names, so each is held at its first plan.
    """
    if not loops:
        return []
    held, all_held = set[str](), asyncio.Event()

    async def heard(message: Msg) -> None:
        held.add(message.subject)
        if len(held) >= loops:
            all_held.set()

    subscription = await system.nc.subscribe("loop.*.loop_held", cb=heard)
    before = {name: used(pid).rss_kb for name, pid in system.pids.items()}
    js = system.nc.jetstream(timeout=60.0)
    for loop in ids(loops):
        body = model_goal(id=loop).model_dump_json(exclude_none=True, by_alias=True)
        await js.publish(subjects.goal_submitted("default"), body.encode())
    await asyncio.wait_for(all_held.wait(), HELD_S)
    await subscription.unsubscribe()
    await asyncio.sleep(REST_S)
    after = {name: used(pid).rss_kb for name, pid in system.pids.items()}
    return [
        Flat(f"parked_loop_in_{name}", round((after[name] - before[name]) / loops, 2), "KB")
        for name in after
    ]
