"""How each check of a loop turned, by iteration, and how far the work is from its best."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from loopwright.plan import Verdict
from loopwright.views import LoopView
from loopwright_cli.render import BAD, DIM, GOOD, WARN

#: How a status is drawn; what has no verdict is a dot.
_MARKS = {"passed": ("+", GOOD), "failed": ("-", BAD), "error": ("!", WARN)}
_NONE = (".", DIM)
#: Iterations in one table; those before are left out.
WIDTH = 40

Judged = Sequence[tuple[int, Verdict]]


def turns(judged: Judged) -> dict[str, list[dict[str, object]]]:
    """By check: iteration, status and message of each verdict, for programs."""
    found: dict[str, list[dict[str, object]]] = {}
    for iteration, verdict in judged:
        for check in verdict.checks:
            found.setdefault(check.name, []).append(
                {"iteration": iteration, "status": check.status, "message": check.message}
            )
    return found


def turns_table(judged: Judged) -> Table:
    """A line for each check with a mark for each of the newest iterations that were judged."""
    shown = judged[-WIDTH:]
    first, last = shown[0][0], shown[-1][0]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column(f"iterations {first} to {last}", no_wrap=True)
    table.add_column("turned", justify="right")
    for name, entries in turns(shown).items():
        status = {entry["iteration"]: str(entry["status"]) for entry in entries}
        marks = Text()
        for iteration, _ in shown:
            mark, style = _MARKS.get(status.get(iteration, ""), _NONE)
            marks.append(mark, style=style)
        table.add_row(name, marks, str(_flips(list(status.values()))))
    return table


def _flips(statuses: Sequence[str]) -> int:
    """How often it went from passed to not passed or back."""
    passed = [status == "passed" for status in statuses]
    return sum(before != after for before, after in pairwise(passed))


def distance(view: LoopView) -> str:
    """How far the newest verdict is below the best one; nothing where it is the best."""
    if view.best is None or view.score is None or view.score >= view.best.score:
        return ""
    below = view.best.score - view.score
    return (
        f"score {view.score:.2f}, {below:.2f} below the best: iteration {view.best.iteration} "
        f"with {view.best.passed}/{view.best.checks} checks"
    )
