"""The example whose planner is a program of one's own."""

from __future__ import annotations

from pathlib import Path

from installation import ROOT, installation


def test_a_program_plans_a_loop_to_its_goal(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as here:
        ended = here.json("run", str(ROOT / "examples/command-planner/goal.yaml"))
        assert (ended["outcome"], ended["iterations"]) == ("achieved", 3)
        assert ended["cost_usd"] == 0
        assert here.json("verify-log", ended["loop"])["violations"] == 0
