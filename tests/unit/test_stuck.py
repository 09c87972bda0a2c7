"""Stuck loops are found within their period, and those that move or wait are left alone.

Loops are scripted as what each iteration does, sees, leaves behind and scores; both rates are
asserted over two hundred of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from random import Random
from typing import Any

import pytest

from loopwright.plan import Plan
from loopwright.testing import model_goal
from loopwright.tools import Action
from loopwright_coordinator.stuck import LONGEST_CYCLE
from table import Table

CHECKS = 20
NAMES = [f"c{number:02}" for number in range(CHECKS)]


@dataclass(frozen=True)
class Turn:
    """One iteration: what is run, what it prints, the workspace after it, how many checks pass."""

    run: str
    said: str = ""
    tree: str = ""
    passed: int = 1
    fails: bool = False


def goal(**stuck: Any) -> Any:
    return model_goal(
        verify={"checks": [{"name": n, "kind": "file", "path": n} for n in NAMES]},
        budget={"iterations": 200, "tokens": 100_000_000, "time": 10_000_000},
        stuck=stuck,
    )


def play(turns: Iterator[Turn], **stuck: Any) -> tuple[Table, list[int]]:
    """Play the turns to the loop's end, or to the last; after which iterations it was noticed."""
    table = Table(goal(**stuck), replays=False)
    table.begin()
    noticed = []
    for number, turn in enumerate(turns, 1):
        level = table.loop.notice.level if table.loop.notice else 0
        action = Action(tool="shell", args={"run": turn.run})
        table.plan(Plan(summary=f"turn {number}", actions=(action,)))
        revision = f"{number:040x}"
        table.execute(revision, succeeded=not turn.fails, tree=turn.tree or None, said=turn.said)
        if not turn.fails:
            table.verdict(*NAMES[: turn.passed], revision=revision)
        if table.loop.ended or (table.loop.notice and table.loop.notice.level > level):
            noticed.append(number)
        if table.loop.ended:
            break
    return table, noticed


def repeats(random: Random, period: int, start: int = 2) -> Iterator[Turn]:
    """Honest progress in `start` iterations, then a round of `period` steps for ever."""
    for number in range(start):
        yield Turn(f"step {number}", tree=f"t{number}", passed=number + 1)
    round_ = [Turn(f"r{i} {random.random()}", f"out {i}", f"w{i}", start) for i in range(period)]
    # Durations differ from run to run and must not hide the repeat.
    for turn in cycle(round_):
        yield Turn(turn.run, f"{turn.said} in {random.random():.2f}s", turn.tree, turn.passed)


@pytest.mark.parametrize("period", range(1, LONGEST_CYCLE + 1))
def test_repeats_and_cycles_are_found_within_their_period(period: int) -> None:
    found = 0
    for seed in range(50):
        start = seed % 5 + 1
        turns = repeats(Random(seed), period, start)
        table, noticed = play(islice(turns, 60), patience=1000)
        assert table.loop.ended == "stalled", seed
        assert noticed[0] - start <= (3 if period == 1 else 2 * period), (seed, noticed)
        # Told, then planned otherwise, then ended: each after one more round.
        assert [b - a for a, b in pairwise(noticed)] == [period, period]
        found += 1
    assert found == 50


def test_slow_improvers_are_left_alone() -> None:
    alarms = 0
    for seed in range(100):
        random = Random(seed)
        turns, passed = [], 0
        while passed < CHECKS - 1:
            turns += [
                Turn(f"try {random.random()}", f"{wait}", f"{random.random()}", passed)
                for wait in range(random.randint(1, 7))
            ]
            passed += 1
            turns.append(Turn("a better one", "ok", f"good {passed}", passed))
        alarms += bool(play(iter(turns))[1])
    assert alarms == 0


def test_declared_pollers_are_left_alone() -> None:
    alarms = 0
    for seed in range(100):
        random = Random(seed)
        polls = [Turn("curl http://service/ready", "not yet", "same", 1)] * random.randint(20, 60)
        table, noticed = play(iter(polls), polls=["shell curl *"])
        assert table.loop.ended is None
        alarms += bool(noticed)
    assert alarms == 0


def test_a_poller_that_is_not_declared_is_found() -> None:
    polls = [Turn("curl http://service/ready", "not yet", "same", 1)] * 20
    assert play(iter(polls))[0].loop.ended == "stalled"


def test_the_same_error_three_times_is_found_whatever_was_tried() -> None:
    turns = (Turn(f"try {n}", "cannot find the module", fails=True) for n in range(9))
    table, noticed = play(turns)
    assert noticed == [3, 4, 5]
    assert table.loop.notice is not None
    assert table.loop.notice.pattern == "error"


def test_a_workspace_that_comes_back_twice_is_found() -> None:
    trees = "abacadaeafa"
    turns = (Turn(f"try {n}", f"saw {n}", tree) for n, tree in enumerate(trees))
    table, noticed = play(turns, patience=1000)
    # The first iteration improved, so it is not counted: b, a, c, a, d, a.
    assert noticed == [7, 9, 11]
    assert table.loop.ended == "stalled"


def test_no_better_score_for_long_is_found() -> None:
    turns = (Turn(f"try {n}", f"saw {n}", f"tree {n}") for n in range(60))
    table, noticed = play(turns, patience=8)
    assert noticed == [9, 13, 17]
    assert (table.loop.ended, table.loop.reason) == ("stalled", "repeating")
    assert "8 iterations" not in table.loop.detail
    assert "no better score" in table.loop.detail


def test_progress_takes_the_notice_back() -> None:
    same = [Turn("again", "same", "w", 1)] * 4
    table, _ = play(iter([*same, Turn("better", "ok", "x", 5), *same]))
    assert table.loop.ended is None
    assert len(table.loop.marks) == 4


def test_a_notice_changes_how_a_model_is_asked() -> None:
    table, noticed = play(islice(repeats(Random(1), 1), 60))
    events = [e.data for e in table.log.events if e.data.kind == "plan_requested"]
    asked = [e.notice for e in events if e.notice]
    assert [n.level for n in asked] == [1, 2]
    assert asked[0].temperature is None
    assert asked[1].temperature == pytest.approx(1.1)
    assert len(noticed) == 3
