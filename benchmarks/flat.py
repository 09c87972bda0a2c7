"""Whether an iteration costs the same late in a loop as early, and what a parked loop weighs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median

from benchmarks.load import measure
from benchmarks.processes import used
from benchmarks.systems import System, goal, ids
from loopwright.client import Client
from loopwright.control import Cancel, Pause
from loopwright.errors import LoopwrightError

#: Iterations that are compared at a loop's beginning and at its end.
WINDOW = 100
#: Goals that are submitted at a time.
AT_ONCE = 20


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
    """What loops that wait for a person weigh in each process of the product, in KB a loop."""
    if not loops:
        return []
    gate, wanted = asyncio.Semaphore(AT_ONCE), ids(loops)
    before = {name: used(pid).rss_kb for name, pid in system.pids.items()}
    async with Client(system.url) as client:

        async def park(loop: str) -> None:
            async with gate:
                await client.submit(goal(loop, 1000))
                await client.control(loop, Pause(id=f"pause-{loop}"))

        await asyncio.gather(*map(park, wanted))
        await asyncio.sleep(2.0)
        after = {name: used(pid).rss_kb for name, pid in system.pids.items()}

        async def end(loop: str) -> None:
            async with gate:
                await client.control(loop, Cancel(id=f"cancel-{loop}", reason="weighed"))

        ends = await asyncio.gather(*map(end, wanted), return_exceptions=True)
    wrong = [item for item in ends if isinstance(item, Exception)]
    if wrong and not all(isinstance(item, LoopwrightError) for item in wrong):
        raise wrong[0]
    return [
        Flat(f"parked_loop_in_{name}", round((after[name] - before[name]) / loops, 2), "KB")
        for name in after
    ]
