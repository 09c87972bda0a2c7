"""A provider's limits on a real bus: replicas share them, waiting ends at the step's deadline."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from loopwright import subjects
from loopwright.breaker import Holder
from loopwright.errors import StepError
from loopwright.rate import Buckets, Rate
from loopwright.records import Records, token
from loopwright.service.bus import Bus
from loopwright.service.limits import Limits

MODEL = "org/model-4.1"


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
