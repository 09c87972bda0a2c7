"""What a person is shown who is to approve something."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from loopwright.budget import Amount
from loopwright.events import Brief, Wanted
from loopwright.plan import Change
from loopwright_cli.asked import PATHS, asked


def shown(wanted: Wanted | None) -> list[str]:
    view = cast(Any, SimpleNamespace(held=SimpleNamespace(wanted=wanted) if wanted else None))
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        if (grid := asked(view)) is not None:
            console.print(grid)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_everything_that_a_decision_needs_is_shown() -> None:
    changes = [Change(path=f"f{number}", kind="added") for number in range(PATHS + 1)]
    brief = Brief(
        questions=("Is it friendly?",),
        summary="Write the notes.",
        passed=("notes", "told"),
        failed=("style",),
        changes=(Change(path="old", kind="deleted"), *changes),
        changed_paths=40,
        iteration=3,
        spent=Amount(tokens=1200, cost_microusd=340_000, actions=5),
    )
    lines = shown(Wanted(kind="result", of="1" * 40, brief=brief))
    assert lines[:6] == [
        "question Is it friendly?",
        "plan Write the notes.",
        "pass notes, told",
        "fail style",
        "changes - old",
        "+ f0",
    ]
    assert f"and {40 - PATHS} paths more" in lines
    assert lines[-1] == "spent 3 iterations, 5 actions, 1200 tokens, $0.3400"


def test_a_loop_that_asks_nobody_shows_nothing_of_it() -> None:
    assert shown(None) == []
    assert shown(Wanted(kind="plan", of="x")) == []
