"""One measurement: so many loops at once until a number of them have ended."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, quantiles
from time import monotonic

from nats.aio.msg import Msg

from benchmarks.processes import Used, used
from benchmarks.systems import System, ids

#: A measurement that takes longer is given up, in seconds.
GIVE_UP_S = 600.0
#: The projections and the last acknowledgements come to rest within this, in seconds.
REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What some loops took, from the first submission to the last end."""

    loops: int
    iterations: int
    seconds: float
    iteration_s: tuple[float, ...]
    """Of each iteration: from its granting event to the next, as the bus hands them out."""
    cpu_s: Mapping[str, float]
    """Of each process, and of the driver."""
    rss_kb: Mapping[str, int]
    unended: tuple[str, ...]
    ids: tuple[str, ...] = ()

    @property
    def per_second(self) -> float:
        """Iterations a second."""
        return self.iterations / self.seconds

    @property
    def p50_ms(self) -> float:
        """Median time of an iteration, in milliseconds."""
        return median(self.iteration_s) * 1e3 if self.iteration_s else 0.0

    @property
    def p99_ms(self) -> float:
        """The time that one iteration of a hundred exceeds, in milliseconds."""
        if len(self.iteration_s) < 2:
            return self.p50_ms
        return quantiles(self.iteration_s, n=100, method="inclusive")[98] * 1e3

    @property
    def cpu_per_1000(self) -> float:
        """CPU seconds of all processes for 1,000 iterations."""
        return sum(self.cpu_s.values()) * 1000 / self.iterations


@dataclass(slots=True)
class _Watch:
    """When the bus handed out each loop's grants and end."""

    ended: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    grants: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def heard(self, message: Msg) -> None:
        """One of the loop's events was stored."""
        _, loop, kind = message.subject.split(".")
        self.grants[loop].append(monotonic())
        if kind == "loop_ended":
            self.ended[loop].set()

    def times(self, loops: list[str]) -> tuple[float, ...]:
        """Of all iterations, in order within each loop."""
        found = (self.grants[loop] for loop in loops)
        return tuple(b - a for at in found for a, b in pairwise(at))


async def measure(system: System, *, at_once: int, loops: int, iterations: int) -> Measured:
    """Keep so many loops in flight until that number of loops have been through."""
    watch, wanted = _Watch(), ids(loops)
    heard = [
        await system.nc.subscribe(f"loop.*.{kind}", cb=watch.heard)
        for kind in (system.step, "loop_ended")
    ]
    await system.nc.flush()
    gate, unended = asyncio.Semaphore(at_once), list[str]()

    async def one(loop: str) -> None:
        async with gate:
            await system.begin(loop, iterations)
            try:
                await asyncio.wait_for(watch.ended[loop].wait(), GIVE_UP_S)
            except TimeoutError:
                unended.append(loop)

    before, began = _all(system), monotonic()
    await asyncio.gather(*map(one, wanted))
    seconds = monotonic() - began
    await asyncio.sleep(REST_S)
    after = _all(system)
    for subscription in heard:
        await subscription.unsubscribe()
    return Measured(
        loops=loops,
        iterations=loops * iterations,
        seconds=seconds,
        iteration_s=watch.times(wanted),
        cpu_s={name: round(after[name].cpu_s - before[name].cpu_s, 3) for name in after},
        rss_kb={name: item.rss_kb for name, item in after.items()},
        unended=tuple(unended),
        ids=tuple(wanted),
    )


def _all(system: System) -> dict[str, Used]:
    """Every process that takes part, this one included."""
    return {name: used(pid) for name, pid in (*system.pids.items(), ("driver", os.getpid()))}
