"""Breakers on a real bus: what one replica sees counts for all, and one probe is let through."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from loopwright import subjects
from loopwright.breaker import Breaker, Holder, Rules
from loopwright.breakers import Breakers, DependencyError
from loopwright.errors import StepError
from loopwright.service.bus import Bus
from loopwright.service.gate import Gate
from waiting import until

NAME = "llm:org/model-4.1"
QUICK = Rules(failures=3, cool_down_s=0.2)


def holder(number: int, seconds: float = 30.0) -> Holder:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return Holder(loop=f"loop-{number}", role="planner", iteration=1, attempt=1, deadline=deadline)


async def fail(gate: Gate, number: int = 1) -> None:
    with pytest.raises(StepError, match="it is away"):
        async with gate.call(NAME, holder(number)):
            raise StepError("overloaded", "it is away")


async def opened(gate: Gate) -> None:
    for number in range(QUICK.failures):
        await fail(gate, number)


async def test_what_one_replica_sees_counts_for_all(bus: Bus) -> None:
    one, two = Gate(bus.nc, QUICK), Gate(bus.nc, QUICK)
    await fail(one)
    await fail(two)
    await fail(one)
    with pytest.raises(StepError, match="is down") as refused:
        async with two.call(NAME, holder(1)):
            raise AssertionError("it was let through")
    assert refused.value.info.kind == "dependency_down"
    assert refused.value.info.dependency == NAME
    assert (refused.value.info.retry_after_s or 0) > 0


async def test_one_of_many_probes_and_its_answer_lets_all_through(bus: Bus) -> None:
    gates = [Gate(bus.nc, QUICK) for _ in range(3)]
    await opened(gates[0])
    entered: list[int] = []
    leave = asyncio.Event()

    async def call(number: int) -> str:
        try:
            async with gates[number % 3].call(NAME, holder(number)):
                entered.append(number)
                await leave.wait()
        except StepError as error:
            return error.info.kind
        return "answered"

    async def due() -> bool:
        return await gates[0].look(NAME) is None

    await until(due)
    calls = [asyncio.create_task(call(number)) for number in range(30)]

    async def refused() -> bool:
        return sum(task.done() for task in calls) == 29

    await until(refused, 30)
    assert len(entered) == 1
    leave.set()
    results = await asyncio.gather(*calls)
    assert sorted(results) == ["answered", *["dependency_down"] * 29]
    assert await gates[1].closed(NAME)


async def test_denials_and_refusals_of_one_request_never_open_it(bus: Bus) -> None:
    gate = Gate(bus.nc, QUICK)
    for kind in ("auth", "billing", "permission_denied", "invalid_output", "context_overflow"):
        for number in range(QUICK.failures + 1):
            with pytest.raises(StepError):
                async with gate.call(NAME, holder(number)):
                    raise StepError(kind, "no")
    assert await gate.closed(NAME)


async def test_a_call_that_ran_out_of_little_time_says_nothing(bus: Bus) -> None:
    gate = Gate(bus.nc, QUICK)
    for number in range(QUICK.failures + 1):
        with pytest.raises(StepError):
            async with gate.call(NAME, holder(number)):
                raise StepError("timeout", "one second was not enough")
    assert await gate.closed(NAME)


async def test_a_probe_whose_attempt_was_closed_without_a_word_is_over(bus: Bus) -> None:
    gate = Gate(bus.nc, QUICK)
    await opened(gate)

    async def due() -> bool:
        return await gate.look(NAME) is None

    await until(due)
    who = holder(9)
    passing = gate.call(NAME, who)
    await passing.__aenter__()
    assert await gate.look(NAME) is not None
    await gate.report(NAME, who, "unknown")
    await until(due)
    await passing.__aexit__(None, None, None)


async def test_people_open_and_close_it(bus: Bus) -> None:
    breakers, gate = Breakers(bus.nc), Gate(bus.nc, QUICK)
    assert await breakers.ls() == []
    await breakers.open(NAME, "maintenance")
    with pytest.raises(StepError, match="maintenance"):
        async with gate.call(NAME, holder(1)):
            raise AssertionError("it was let through")
    (held,) = await breakers.ls()
    assert (held.dependency, held.state) == (NAME, "open")
    await breakers.close(NAME)
    async with gate.call(NAME, holder(1)):
        pass
    with pytest.raises(DependencyError, match="no dependency"):
        await breakers.open("gpt")


async def test_a_dependency_that_nobody_wrote_of_is_closed_and_calls_write_nothing(
    bus: Bus,
) -> None:
    gate = Gate(bus.nc, QUICK)
    async with gate.call(NAME, holder(1)):
        pass
    assert await Breakers(bus.nc).get(NAME) == Breaker(dependency=NAME)
    assert await Breakers(bus.nc).ls() == []


async def test_an_outage_sees_no_more_calls_than_probes(bus: Bus) -> None:
    """Three replicas call as fast as they may while the dependency is away, for some probes."""
    rules = Rules(failures=3, cool_down_s=0.05, max_cool_down_s=0.1)
    made = 0

    async def replica(number: int, stop: asyncio.Event) -> None:
        nonlocal made
        gate = Gate(bus.nc, rules)
        while not stop.is_set() and made < 8:
            try:
                async with gate.call(NAME, holder(number)):
                    made += 1
                    raise StepError("overloaded", "it is away")
            except StepError:
                await asyncio.sleep(0)

    await opened(Gate(bus.nc, rules))
    stop = asyncio.Event()
    replicas = [asyncio.create_task(replica(number, stop)) for number in range(3)]

    async def probes() -> int:
        stored = [item async for item in bus.read(subjects.BREAKERS, "breaker.>", 1)]
        records = [Breaker.model_validate_json(item.body) for item in stored]
        return sum(record.state == "half_open" and record.changes for record in records)

    async def enough() -> bool:
        return await probes() >= 5

    try:
        await until(enough, 60)
    finally:
        stop.set()
        await asyncio.gather(*replicas)
    assert 5 <= made == await probes()
