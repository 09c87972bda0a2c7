"""One run: loops are submitted, worked on, contended for, poisoned and hit by faults, to the end.

What must be true afterwards is not judged here but in `check`, from the logs, the meters, the
dead letters and the store.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import nats.errors
import nats.js.errors
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.faults import Faults, schedule
from chaos.fleet import Fleet
from chaos.poison import Mark, Poisoner, poison
from chaos.projections import Dump, dump, ended_views, of_loops
from chaos.script import chance, goal, loop_id
from loopwright import subjects
from loopwright.client import Client
from loopwright.control import Cancel, Control, Nudge
from loopwright.errors import BusUnavailableError
from loopwright.listing import subjects_of

#: Loops in flight at most.
IN_FLIGHT = 48
#: A submission without an answer is tried again after this, in seconds.
ANSWER_S = 4.0
#: One of so many loops is poisoned; one in so many is lied about.
POISON_EVERY = 15
LIE_EVERY = 10
#: Nudges at once, to make coordinators meet in one loop.
BURST = 5
#: Loops that are left when the faults end: what is timed then is healing, not a backlog of work.
LAST = 12
#: How long loops may take to end once the faults are over, before they are given up, in seconds.
HEAL_S = 30.0
#: No loop has ended for this long though faults still go on: they are over, in seconds.
STILL_S = 60.0
LOOK_S = 0.3

AWAY = (BusUnavailableError, nats.errors.Error, nats.js.errors.Error, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a run."""

    loops: int
    kills: int
    seed: int
    folder: Path
    nodes: int = 1
    """Of the bus."""


@dataclass(slots=True)
class Run:
    """What happened, as the driver saw it."""

    options: Options
    fleet: Fleet
    client: Client
    poisoner: Poisoner
    faults: Faults
    acknowledged: list[str] = field(default_factory=list)
    retries: int = 0
    """Submissions that were not answered and were tried again with the same id."""
    ended: set[str] = field(default_factory=set)
    poisoned: list[Mark] = field(default_factory=list)
    lies: int = 0
    before_wipe: Dump = field(default_factory=dict)
    """Of loops that had ended when the store was wiped in the middle."""
    healed_s: float = 0.0
    unended: tuple[str, ...] = ()
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the faults are over."""

    async def to_the_end(self) -> None:
        """Everything, until all loops have ended or were given up."""
        options = self.options
        gate = asyncio.Semaphore(IN_FLIGHT)
        background = [
            asyncio.create_task(work)
            for work in (self._watch_progress(), self.fleet.watch_counters())
        ]
        loops = [asyncio.create_task(self._loop(gate, n)) for n in range(options.loops)]
        try:
            await asyncio.gather(self._faults(), self._poison(), self._lie(), self._wipe_half_way())
            over = monotonic()
            _, waiting = await asyncio.wait(loops, timeout=HEAL_S)
            self.healed_s = monotonic() - over
            self.unended = tuple(sorted(set(self._ids()) - self.ended)) if waiting else ()
            for member in self.fleet.members:
                await member.read_counters()
        finally:
            for task in (*loops, *background):
                task.cancel()
            await asyncio.gather(*loops, *background, return_exceptions=True)

    @property
    def _span(self) -> int:
        """How many loops have ended when the faults are over: all is done to them until then."""
        return max(1, self.options.loops - LAST)

    async def _faults(self) -> None:
        options = self.options
        mischief = asyncio.create_task(self.fleet.mischief.run(self.quiet))
        try:
            await self.faults.run(schedule(options.seed, options.kills, self._span))
            await self._worked_off()
        finally:
            self.quiet.set()
            await mischief

    async def _worked_off(self) -> None:
        """Wait until few loops are left: where the machine is slow, faults do not wait for them."""
        ended, since = len(self.ended), monotonic()
        while ended < self._span and monotonic() - since < STILL_S:
            await asyncio.sleep(LOOK_S)
            if len(self.ended) > ended:
                ended, since = len(self.ended), monotonic()

    def _ids(self) -> list[str]:
        return [loop_id(self.options.seed, number) for number in range(self.options.loops)]

    async def _loop(self, gate: asyncio.Semaphore, number: int) -> None:
        """Submit one loop, contend for it, wait for its end."""
        loop = loop_id(self.options.seed, number)
        dice = chance(self.options.seed, loop, "driver")
        async with gate:
            twice = dice.random() < 0.1
            await asyncio.gather(*(self._submit(number) for _ in range(1 + twice)))
            self.acknowledged.append(loop)
            if dice.random() < 0.4:
                await self._say(
                    [Nudge(id=f"nudge-{n:03}", hint=f"hint {n}") for n in range(BURST)], loop
                )
            if dice.random() < 0.04:
                await asyncio.sleep(dice.uniform(0, 1))
                cancel = Cancel(id="cancel-01", reason="the script says so")
                await self._say([cancel, cancel], loop)
            while loop not in self.ended:
                await asyncio.sleep(LOOK_S)

    async def _submit(self, number: int) -> None:
        """Submit until it is acknowledged."""
        wanted = goal(self.options.seed, number)
        while True:
            try:
                await asyncio.wait_for(self.client.submit(wanted), ANSWER_S)
            except AWAY:
                self.retries += 1
                await asyncio.sleep(0.2)
            else:
                return

    async def _say(self, words: list[Control], loop: str) -> None:
        """All at once, so that coordinators meet in this loop; what gets lost is not repeated."""
        js = self.client.nc.jetstream(timeout=2.0)
        await asyncio.gather(
            *(
                js.publish(subjects.control(loop), word.model_dump_json().encode())
                for word in words
            ),
            return_exceptions=True,
        )

    async def _watch_progress(self) -> None:
        """Which loops have ended, as the log says."""
        every = subjects.loop_event("*", "loop_ended")
        while True:
            with suppress(*AWAY):
                held = await subjects_of(self.client.nc, subjects.LOOPS, every)
                self.ended = {subject.split(".")[1] for subject in held}
            await asyncio.sleep(LOOK_S)

    async def _reached(self, part: float) -> None:
        """Wait for this part of the run, but not if nothing goes on any more."""
        while len(self.ended) < part * self._span and not self.quiet.is_set():
            await asyncio.sleep(LOOK_S)

    async def _poison(self) -> None:
        """Poison beside admitted loops, spread over the run."""
        count = self.options.loops // POISON_EVERY
        for number in range(count):
            await self._reached(number / count)
            while not self.acknowledged:
                await asyncio.sleep(LOOK_S)
            dice = chance(self.options.seed, "beside", number)
            one = poison(self.options.seed, number, dice.choice(self.acknowledged))
            self.poisoned.append(one.mark)
            await self.poisoner.inject(one)

    async def _lie(self) -> None:
        """Lies about loops that are being worked on, spread over the run."""
        count = self.options.loops // LIE_EVERY
        for number in range(count):
            await self._reached(number / count)
            busy = [loop for loop in self.acknowledged if loop not in self.ended]
            for loop in busy[:1]:
                await self.poisoner.wake(loop)
            for loop in busy:
                if await self.poisoner.lie(loop):
                    self.lies += 1
                    break

    async def _wipe_half_way(self) -> None:
        """Wipe the store while it is being written to."""
        await self._reached(0.5)
        redis = Redis.from_url(self.fleet.valkey.url)
        try:
            while True:
                try:
                    done = await ended_views(redis, self.ended)
                    self.before_wipe = of_loops(await dump(redis), done)
                    await redis.flushall()
                except (RedisError, OSError):  # it is being killed at this moment
                    await asyncio.sleep(LOOK_S)
                else:
                    return
        finally:
            await redis.aclose()
