"""A provider is down while the planners of three processes want to call it; then it is back.

From the moment at which its breaker is open and the attempts that were under way are settled,
every call that reaches the provider must be a probe, and no two of them at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from chaos.drive import ANSWER_S, AWAY
from chaos.fleet import fleet
from chaos.script import loop_id
from loopwright import subjects
from loopwright.breaker import RULES, Breaker
from loopwright.client import Client
from loopwright.direct import read_batch
from loopwright.listing import subjects_of
from loopwright.testing import model_goal
from metering.model import Model, model_server

PLANNERS, SLOTS = 3, 4
REPLICAS = {"planner": PLANNERS, "state": 0, "verifier": 1, "executor": 1, "coordinator": 1}
MODEL = "shared-model"
LOOK_S = 0.02
#: After the outage the next probe may be as far away as the cool-down before; then all go on.
BACK_S = 120.0


@dataclass(slots=True)
class Report:
    """What an outage came to."""

    seed: int
    loops: int
    down_s: float
    planners: int = PLANNERS
    workers: int = PLANNERS * SLOTS
    before_open: int = 0
    """Calls that the dead provider saw until its breaker was open and what was begun settled."""
    while_open: int = 0
    """Calls that it saw from then on."""
    probes: int = 0
    """That the breaker's own records say were let through, in the whole fleet."""
    most_at_once: int = 0
    """Of the calls while it was open."""
    opened: int = 0
    back_s: float = 0.0
    """From the provider's return until every loop had ended."""
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def outlive(folder: Path, *, seed: int, loops: int, down_s: float) -> Report:
    """Submit loops to a provider that is down, wait, bring it back, and count."""
    report, began = Report(seed, loops, down_s), monotonic()
    async with model_server(seed) as model:
        model.down = True
        more = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "sk-none",
            "LOOPWRIGHT_SLOTS": str(SLOTS),
            "LOOPWRIGHT_ACK_WAIT_S": "30",
        }
        async with (
            fleet(folder, seed, planner="metering.planner", replicas=REPLICAS, more=more) as parts,
            Client(parts.nats.url) as client,
        ):
            submitted = asyncio.gather(*(_submit(client, seed, n, down_s) for n in range(loops)))
            await _outage(client, model, report)
            model.down, back = False, monotonic()
            await submitted
            report.violations += await _ended(client, report)
            report.back_s = round(monotonic() - back, 1)
    _judge(report)
    report.seconds = monotonic() - began
    return report


async def _submit(client: Client, seed: int, number: int, down_s: float) -> None:
    wanted = model_goal(
        id=loop_id(seed, number),
        name=f"waits {number}",
        planner={
            "backend": "openai",
            "model": MODEL,
            "max_input_tokens": 12_000,
            "max_output_tokens": 500,
            "price": {"input_usd_per_million": "1", "output_usd_per_million": "2"},
        },
        budget={"iterations": 6, "tokens": 300_000, "usd": "5", "time": int(4 * down_s + 300)},
        limits={"patience": int(4 * down_s + 300), "attempts": 20, "hold_time": 3},
        stuck={"repeats": 20, "patience": 1000},
        on_exhausted="stop",
    )
    while True:
        with suppress(*AWAY):
            await asyncio.wait_for(client.submit(wanted), ANSWER_S)
            return
        await asyncio.sleep(0.2)


async def _records(client: Client) -> list[Breaker]:
    stored = await read_batch(client.nc, subjects.BREAKERS, "breaker.llm.*", 1)
    return [Breaker.model_validate_json(item.body) for item in stored]


async def _outage(client: Client, model: Model, report: Report) -> None:
    """Until the provider has been down for so long after its breaker opened."""
    while not any(record.state == "open" for record in await _records(client)):
        await asyncio.sleep(LOOK_S)
    opened = monotonic()
    tip = (await client.nc.jetstream().stream_info(subjects.LOOPS)).state.last_seq
    while model.open or await _are_planning(client, tip):
        await asyncio.sleep(10 * LOOK_S)
    probed = sum(_is_probe(record) for record in await _records(client))
    report.before_open, model.most_at_once = len(model.refused), model.open
    while monotonic() - opened < report.down_s or model.open:
        await asyncio.sleep(LOOK_S)
    report.while_open = len(model.refused) - report.before_open
    report.most_at_once = model.most_at_once
    records = await _records(client)
    report.probes = sum(_is_probe(record) for record in records) - probed
    report.opened = sum(record.state == "open" and record.changes for record in records)


async def _are_planning(client: Client, tip: int) -> bool:
    """Whether an attempt that was granted up to there may still make its call."""
    newest: dict[str, tuple[int, bool]] = {}
    start = 1
    while stored := await read_batch(client.nc, subjects.LOOPS, "loop.>", start):
        for item in stored:
            _, loop, kind = item.subject.split(".")
            newest[loop] = (item.seq, kind == "plan_requested")
        start = stored[-1].seq + 1
    return any(planning and seq <= tip for seq, planning in newest.values())


def _is_probe(record: Breaker) -> bool:
    return record.state == "half_open" and record.changes


async def _ended(client: Client, report: Report) -> list[str]:
    """Wait until every loop has ended; which have not."""
    every, until = subjects.loop_event("*", "loop_ended"), monotonic() + BACK_S + report.down_s
    while True:
        held = await subjects_of(client.nc, subjects.LOOPS, every)
        if len(held) >= report.loops:
            return []
        if monotonic() > until:
            return [f"{report.loops - len(held)} loops have not ended since the provider is back"]
        await asyncio.sleep(0.2)


def _judge(report: Report) -> None:
    if report.while_open > report.probes:
        report.violations.append(
            f"the dead provider saw {report.while_open} calls while its breaker was open, "
            f"{report.probes} probes were let through"
        )
    if report.most_at_once > 1:
        report.violations.append(f"{report.most_at_once} probes were on their way at once")
    if report.before_open > RULES.failures + report.workers:
        report.violations.append(
            f"{report.before_open} calls failed before the breaker was open, at most "
            f"{RULES.failures} and what {report.workers} workers had begun may"
        )
    if report.while_open < 1:
        report.violations.append("not a test: no probe was made while the provider was down")
