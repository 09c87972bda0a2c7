"""The moving lines below a loop's iterations: where it is, and what is expected in the end."""

from __future__ import annotations

from pathlib import Path

from loopwright.budget import Usage
from loopwright.testing import model_goal
from loopwright_cli.follow import Progress
from loopwright_cli.runtime.places import Place
from loopwright_cli.session import Session
from table import PLAN, R1, R2, Table


def test_what_a_running_loop_is_expected_to_cost_is_shown_while_it_runs(tmp_path: Path) -> None:
    table = Table(model_goal())
    table.begin()
    progress = Progress(Session(Place(tmp_path), as_json=False))
    progress.on(table.loop)
    assert "expected in the end" not in progress.__rich__().plain
    for passed, revision in (((), R1), (("a",), R2)):
        table.plan(PLAN, Usage(input_tokens=100, output_tokens=10, cost_microusd=120))
        table.execute(revision)
        table.verdict(*passed, revision=revision)
        progress.on(table.loop)
    status, expected = progress.__rich__().plain.split("\n")
    assert "planning" in status
    assert expected.strip().startswith("expected in the end:")
    assert "$" in expected
    assert progress.last is not None
    assert progress.last.model_dump(mode="json")["forecast"]["cost_microusd"]
