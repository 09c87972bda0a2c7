"""The checker of `make chaos` on books that somebody cooked: each fault is found and named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from chaos.check import Books, metered, misplaced, unstressed
from chaos.faults import KILLED, schedule
from chaos.meter import Reading
from chaos.poison import Mark
from chaos.script import goal, loop_id, script, target
from loopwright.audit import Entry
from loopwright.budget import Usage
from loopwright.chain import digest
from loopwright.testing import LOOP_ID, model_goal
from table import Table

PLANNED = Reading(LOOP_ID, "planner", 1, 1, tokens=300, cost_microusd=400)
RAN = Reading(LOOP_ID, "executor", 1, 1, actions=1)


def books(*readings: Reading) -> Books:
    """One achieved loop with honest meters, or with these."""
    table = Table(model_goal())
    table.begin()
    table.plan(usage=Usage(input_tokens=300, cost_microusd=400))
    table.execute()
    table.verdict("a", "b")
    log = [
        Entry(event, seq, digest(body))
        for event, seq, body in zip(table.log.events, table.log.seqs, table.log.bodies, strict=True)
    ]
    return Books({LOOP_ID: log}, list(readings or (PLANNED, RAN)), Counter())


def test_honest_books_are_in_order() -> None:
    assert list(metered(books())) == []


@pytest.mark.parametrize(
    ("reading", "fault"),
    [
        (replace(PLANNED, tokens=301), "was charged"),
        (replace(PLANNED, tokens=1501), "was reserved"),
        (replace(PLANNED, tokens=10_001), "the cap is 10000"),
        (replace(RAN, actions=2), "was reserved"),
        (replace(RAN, attempt=2), "never granted"),
        (replace(RAN, loop=loop_id(1, 1)), "not in the log"),
    ],
)
def test_a_meter_that_shows_more_than_the_log_is_found(reading: Reading, fault: str) -> None:
    assert any(fault in found for found in metered(books(PLANNED, RAN, reading)))


def test_an_attempt_that_was_executed_twice_is_found() -> None:
    cooked = books(PLANNED, RAN, RAN)
    assert any("was executed 2 times" in found for found in metered(cooked))
    assert cooked.executed_twice == 1


def test_dead_letters_are_what_was_injected() -> None:
    one: Mark = ("GOALS", "goal.submitted.default", 3, "a")
    other: Mark = ("RESULTS", "result.planner.x", 4, "b")
    injected = Counter([one, other])
    assert not list(misplaced(injected, injected))
    assert "are no dead letters" in next(misplaced(injected, Counter([one])))
    assert "nobody injected" in next(misplaced(Counter([one]), injected))
    assert "nobody injected" in next(misplaced(injected, Counter([one, one, other])))


def test_a_run_without_enough_kills_is_no_test() -> None:
    enough = Counter(dict.fromkeys(KILLED, 3))
    assert not list(unstressed(enough, 21))
    assert "21 processes were killed, at least 22" in next(unstressed(enough, 22))
    assert "at least 15" in next(unstressed(Counter(dict.fromkeys(KILLED, 2)), 3))
    spared = Counter({kind: 3 for kind in KILLED if kind != "nats"})
    assert list(unstressed(spared, 18)) == ["not a test: no nats was killed"]


def test_every_kind_is_killed_as_often_and_before_the_last_loops_end() -> None:
    plan = schedule(1, 16, 252)
    kills = Counter(fault.kind for fault in plan if fault.what == "kill")
    assert kills.total() == 16
    assert set(kills.values()) == {2, 3}
    assert len(plan) - 16 >= 2
    assert max(fault.ended for fault in plan) <= 252
    assert schedule(1, 16, 252) == plan != schedule(2, 16, 252)


def test_a_seed_gives_the_same_loops_and_steps() -> None:
    loop = loop_id(1, 7)
    assert goal(1, 7) == goal(1, 7) != goal(2, 7)
    assert script(1, loop, "planner", 1, 1) == script(1, loop, "planner", 1, 1)
    assert len({target(1, loop_id(1, number)) for number in range(50)}) == 5
