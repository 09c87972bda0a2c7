"""A provider's limits on a real bus: replicas share them, waiting ends at the step's deadline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from judging import Judges, ballot, performed
from loopwright import subjects
from loopwright.breaker import Holder
from loopwright.errors import StepError
from loopwright.rate import Buckets, Rate
from loopwright.records import Records, token
from loopwright.results import StepFailed
from loopwright.service.bus import Bus
from loopwright.service.gate import Gate
from loopwright.service.limits import Limits
from loopwright_verifier.panel import Panel

MODEL = "org/model-4.1"
JUDGE = "judge-1"


def holder(seconds: float) -> Holder:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return Holder(loop="l", role="planner", iteration=1, attempt=1, deadline=deadline)


async def test_replicas_share_one_limit_and_each_call_counts_once(bus: Bus) -> None:
    replicas = [Limits(bus.nc, {MODEL: Rate(requests=100_000)}) for _ in range(3)]
    began = datetime.now(UTC)
    calls = [replicas[n % 3].wait(MODEL, 1, holder(600), asyncio.Event()) for n in range(60)]
    await asyncio.gather(*calls)
    record, _ = await Records(bus.nc, subjects.LIMITS, Buckets).get(subjects.limit(token(MODEL)))
    assert record is not None
    assert record.requests_full_at is not None
    least = 60 * 60 / (100_000 * 0.9)
    assert (record.requests_full_at - began).total_seconds() >= least


async def test_a_wait_past_the_deadline_is_rate_limited_with_its_wait(bus: Bus) -> None:
    limits = Limits(bus.nc, {MODEL: Rate(requests=1)})
    await limits.wait(MODEL, 1, holder(10), asyncio.Event())
    with pytest.raises(StepError, match="leave no room") as refused:
        await limits.wait(MODEL, 1, holder(10), asyncio.Event())
    assert refused.value.info.kind == "rate_limited"
    assert (refused.value.info.retry_after_s or 0) > 5


async def test_a_stopped_step_waits_no_longer(bus: Bus) -> None:
    limits, stop = Limits(bus.nc, {MODEL: Rate(requests=1)}), asyncio.Event()
    await limits.wait(MODEL, 1, holder(900), stop)
    waiting = asyncio.create_task(limits.wait(MODEL, 1, holder(900), stop))
    stop.set()
    with pytest.raises(StepError, match="was stopped"):
        await asyncio.wait_for(waiting, 60)


async def test_a_model_without_limits_costs_nothing(bus: Bus) -> None:
    await Limits(bus.nc).wait(MODEL, 10**9, holder(1), asyncio.Event())
    assert (await bus.js.stream_info(subjects.LIMITS)).state.messages == 0


class Limited(Judges):
    """Judges whose provider has limits."""

    def __init__(self, bus: Bus, *answers: str) -> None:
        super().__init__(*answers)
        self._bus = bus

    def panel(self) -> Panel:
        rates = {JUDGE: Rate(requests=600)}
        gate, limits = Gate(self._bus.nc), Limits(self._bus.nc, rates)
        return replace(super().panel(), gate=gate, limits=limits)


async def test_a_judge_takes_its_place_among_the_planners(bus: Bus, tmp_path: Path) -> None:
    check = {"name": "kind", "kind": "judge", "rubric": "r", "model": JUDGE}
    judges = Limited(bus, ballot(True, ("letter.txt", "how lovely")), "never asked")
    files = {"letter.txt": "Dear Ada, how lovely!\n"}
    records, subject = Records(bus.nc, subjects.LIMITS, Buckets), subjects.limit(token(JUDGE))
    (tmp_path / "one").mkdir()
    await performed(tmp_path / "one", [check], before=files, judges=judges)
    record, seq = await records.get(subject)
    assert record is not None
    assert record.requests_full_at is not None
    # Planners have taken all places of the next hour.
    taken = record.model_copy(update={"requests_full_at": datetime.now(UTC) + timedelta(hours=1)})
    await records.put(subject, taken, seq)
    (tmp_path / "two").mkdir()
    late = await performed(tmp_path / "two", [check], before=files, judges=judges)
    assert isinstance(late.body, StepFailed)
    assert late.body.error.kind == "rate_limited"
    assert len(judges.asked) == 1
    assert late.usage.cost_microusd == 0
