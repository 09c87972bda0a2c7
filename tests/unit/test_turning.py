"""How checks turned over a loop's life, as people see it."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loopwright.plan import Verdict
from loopwright_cli.turning import WIDTH, distance, turns, turns_table

STATUSES = st.sampled_from(["passed", "failed", "error"])


def verdict(**checks: str) -> Verdict:
    results = [{"name": n, "status": s, "message": f"{n} {s}"} for n, s in checks.items()]
    return Verdict.model_validate({"revision": "1" * 40, "checks": results, "score": 0.0})


def shown(judged: list[tuple[int, Verdict]]) -> list[str]:
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(turns_table(judged))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_each_check_has_a_mark_for_each_iteration_that_was_judged() -> None:
    judged = [
        (1, verdict(a="failed", b="passed")),
        (3, verdict(a="passed", b="passed")),
        (4, verdict(a="error", b="passed", c="failed")),
    ]
    lines = shown(judged)
    assert "iterations 1 to 4" in lines[0]
    assert {"a -+! 2", "b +++ 0", "c ..- 0"} <= {*lines}
    assert turns(judged)["c"] == [{"iteration": 4, "status": "failed", "message": "c failed"}]


@given(st.lists(STATUSES, min_size=1, max_size=3 * WIDTH))
def test_the_newest_iterations_are_drawn_and_all_are_told_to_programs(statuses: list[str]) -> None:
    judged = [(i + 1, verdict(a=status)) for i, status in enumerate(statuses)]
    drawn = "".join({"passed": "+", "failed": "-", "error": "!"}[s] for s in statuses[-WIDTH:])
    assert any(line.startswith(f"a {drawn} ") for line in shown(judged))
    assert [entry["status"] for entry in turns(judged)["a"]] == statuses


class Seen:
    """As much of a view as the distance needs."""

    def __init__(self, score: float | None, best: float | None) -> None:
        at = {"iteration": 2, "score": best, "passed": 3, "checks": 4}
        self.score = score
        self.best = None if best is None else type("Best", (), at)


def test_the_distance_to_the_best_is_told_where_there_is_one() -> None:
    def told(score: float | None, best: float | None) -> str:
        return distance(cast(Any, Seen(score, best)))

    assert told(0.5, 0.75) == "score 0.50, 0.25 below the best: iteration 2 with 3/4 checks"
    assert told(0.75, 0.75) == told(None, 0.75) == told(0.2, None) == ""
