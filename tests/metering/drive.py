"""A run: loops that want more than they may spend, many planners, faults, until all have ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from chaos.drive import ANSWER_S, AWAY
from chaos.fleet import Fleet, fleet
from chaos.script import loop_id
from loopwright import subjects
from loopwright.audit import Entry, audit
from loopwright.budget import NOTHING, Amount
from loopwright.client import Client
from loopwright.goal import Goal
from loopwright.listing import subjects_of
from loopwright.testing import model_goal
from loopwright.wire import Json
from metering.model import Model, Sold, model_server

#: Planner processes, and calls that each makes at once: more than 64 together.
PLANNERS, SLOTS = 3, 22
REPLICAS = {"planner": PLANNERS, "state": 0, "verifier": 1, "executor": 1}
#: Every loop has ended within this, in seconds.
END_S = 300.0
#: So many calls are under way at once before the first is answered.
CROWD = 48
LOOK_S = 0.1
TOKENS, COST_MICROUSD = 60_000, 40_000
#: The most that one call can use, in tokens.
CALL_TOKENS = 12_500
#: What is killed or frozen: planners mostly, since theirs are the calls.
VICTIMS = ("planner", "planner", "planner", "coordinator", "executor")


@dataclass(slots=True)
class Report:
    """What a run came to."""

    seed: int
    loops: int
    planners: int = PLANNERS
    workers: int = PLANNERS * SLOTS
    calls: int = 0
    most_at_once: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """How the provider ended its calls."""
    kills: dict[str, int] = field(default_factory=dict)
    freezes: int = 0
    metered_tokens: int = 0
    charged_tokens: int = 0
    cap_tokens: int = 0
    at_cap: int = 0
    """Loops that had spent so much that no further call fitted."""
    outcomes: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def goal(seed: int, number: int, *, budget: dict[str, Json] | None = None) -> Goal:
    """One loop's goal; it has a model of its own, so that the meter tells loops apart."""
    limits: dict[str, Json] = {
        "plan_time": 60,
        "execute_time": 60,
        "verify_time": 60,
        "hold_time": 3,
        "attempts": 9,
    }
    price: dict[str, Json] = {"input_usd_per_million": "0.5", "output_usd_per_million": "2"}
    return model_goal(
        id=loop_id(seed, number),
        name=f"metered {number}",
        planner={
            "backend": "openai",
            "model": model_of(seed, number),
            "max_input_tokens": 12_000,
            "max_output_tokens": 500,
            "price": price,
        },
        budget=budget
        or {"iterations": 50, "tokens": TOKENS, "usd": COST_MICROUSD / 1e6, "time": 600},
        limits=limits,
        stuck={"repeats": 20, "patience": 1000},
        on_exhausted="stop",
    )


def model_of(seed: int, number: int) -> str:
    """The model that only this loop calls."""
    return f"m-{loop_id(seed, number)}"


async def metered(folder: Path, *, seed: int, loops: int, kills: int, bus_kills: int) -> Report:
    """Run, end, and compare the provider's meter with the caps and with the log."""
    report, began = Report(seed, loops), monotonic()
    async with model_server(seed, CROWD) as model:
        more = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "sk-none",
            "LOOPWRIGHT_SLOTS": str(SLOTS),
            "LOOPWRIGHT_ACK_WAIT_S": "6",
        }
        async with (
            fleet(folder, seed, planner="metering.planner", replicas=REPLICAS, more=more) as parts,
            Client(parts.nats.url) as client,
        ):
            run = _Run(parts, client, model, report)
            await run.to_the_end(kills, bus_kills)
            logs = {number: await _log(client, loop_id(seed, number)) for number in range(loops)}
    report.violations += [
        said for number, log in logs.items() for said in _judge(model, log, number, report)
    ]
    report.calls, report.most_at_once = model.calls, model.most_at_once
    report.ends = dict(sorted(model.ends.items()))
    if model.most_at_once < CROWD:
        report.violations.append(f"not a test: {model.most_at_once} calls at once at most")
    if not report.at_cap:
        report.violations.append("not a test: no loop came to its cap")
    report.seconds = monotonic() - began
    return report


async def _log(client: Client, loop: str) -> list[Entry]:
    every = client.events(loop, follow=False)
    return [Entry(item.event, item.seq, item.body_digest) async for item in every]


def _judge(model: Model, log: list[Entry], number: int, report: Report) -> list[str]:
    """The provider's meter against the caps and against what the loop was charged."""
    sold = model.sold.get(model_of(report.seed, number), Sold())
    charged = sum((e.event.data.settles.charged for e in log if e.event.data.settles), NOTHING)
    used = Amount(
        tokens=sold.tokens, cost_microusd=(sold.input_tokens + 4 * sold.output_tokens + 1) // 2
    )
    report.metered_tokens += sold.tokens
    report.charged_tokens += charged.tokens
    report.cap_tokens += TOKENS
    report.at_cap += charged.tokens + CALL_TOKENS > TOKENS
    outcome = getattr(log[-1].event.data, "outcome", "none")
    report.outcomes[outcome] = report.outcomes.get(outcome, 0) + 1
    loop = f"loop {loop_id(report.seed, number)}"
    found = [f"{loop}: {said}" for said in audit(log)]
    if used.tokens > TOKENS or used.cost_microusd > COST_MICROUSD:
        found.append(f"{loop}: the provider metered {used}, beyond the caps")
    if used.exceeds(charged):
        found.append(f"{loop}: the provider metered {used}, only {charged} was charged")
    return found


@dataclass(slots=True)
class _Run:
    parts: Fleet
    client: Client
    model: Model
    report: Report
    ended: set[str] = field(default_factory=set)

    async def to_the_end(self, kills: int, bus_kills: int) -> None:
        """Submit all at once, do the faults while calls are made, wait for the ends."""
        quiet = asyncio.Event()
        tasks = [asyncio.create_task(self._submit(number)) for number in range(self.report.loops)]
        tasks.append(asyncio.create_task(self._watch()))
        mischief = asyncio.create_task(self.parts.mischief.run(quiet))
        try:
            await self._faults(kills, bus_kills)
            quiet.set()
            until = monotonic() + END_S
            while len(self.ended) < self.report.loops:
                for task in tasks:
                    if task.done():
                        task.result()  # what went wrong goes wrong here
                if monotonic() > until:
                    left = self.report.loops - len(self.ended)
                    self.report.violations.append(f"{left} loops have not ended in {END_S:g} s")
                    return
                await asyncio.sleep(LOOK_S)
        finally:
            quiet.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(mischief, *tasks, return_exceptions=True)

    async def _submit(self, number: int) -> None:
        wanted = goal(self.report.seed, number)
        while True:
            with suppress(*AWAY):
                await asyncio.wait_for(self.client.submit(wanted), ANSWER_S)
                return
            await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        every = subjects.loop_event("*", "loop_ended")
        while True:
            with suppress(*AWAY):
                held = await subjects_of(self.client.nc, subjects.LOOPS, every)
                self.ended = {subject.split(".")[1] for subject in held}
            await asyncio.sleep(LOOK_S)

    async def _faults(self, kills: int, bus_kills: int) -> None:
        """Paced by the calls: none comes before there are any, all come while there are."""
        dice = Random(self.report.seed)
        plan = [dice.choice(VICTIMS) for _ in range(kills)] + ["nats"] * bus_kills
        dice.shuffle(plan)
        done: Counter[str] = Counter()
        for index, kind in enumerate(plan):
            await self._called(self.report.loops * (index + 1) // (len(plan) + 1))
            if kind == "nats":
                await self.parts.kill_nats()
            elif index % 4 == 3:
                self.report.freezes += 1
                await dice.choice(self.parts.of(kind)).freeze(3.0)
                continue
            else:
                await dice.choice(self.parts.of(kind)).kill()
            done[kind] += 1
        self.report.kills = dict(sorted(done.items()))

    async def _called(self, count: int) -> None:
        """Until so many calls came, or all has ended."""
        while self.model.calls < count and len(self.ended) < self.report.loops:
            await asyncio.sleep(LOOK_S)
