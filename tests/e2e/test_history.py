"""Looking back at a loop, and forking it, through the command and real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation import Installation, installation


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("history") / "data") as installed:
        yield installed


def rule(check: str, run: str, start: bool = False) -> dict[str, Any]:
    when = {"start": start, "failing": [] if start else [check]}
    return {"name": f"make-{check}", "when": when, "do": [{"tool": "shell", "args": {"run": run}}]}


def three_steps(folder: Path) -> str:
    """A goal that three rules reach, a file each; the last also spoils a protected file."""
    goal = {
        "name": "three steps",
        "objective": "One, two and three exist, and kept says kept.",
        "workspace": {"files": {"kept": "kept\n"}},
        "planner": {
            "backend": "playbook",
            "rules": [
                rule("one", "echo 1 > one", start=True),
                rule("two", "echo 2 > two"),
                rule("three", "echo 3 > three; echo spoilt > kept"),
            ],
        },
        "verify": {
            "protected": ["kept"],
            "checks": [
                *({"name": n, "kind": "file", "path": n} for n in ("one", "two", "three")),
                {"name": "kept", "kind": "regex", "path": "kept", "pattern": "^kept$"},
            ],
        },
        "budget": {"iterations": 3, "time": "5m"},
    }
    path = folder / "goal.json"
    path.write_text(json.dumps(goal))
    return str(path)


@pytest.fixture(scope="module")
def loop(here: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    ended = here.json("run", three_steps(tmp_path_factory.mktemp("goal")))
    assert (ended["outcome"], ended["iterations"]) == ("achieved", 3)
    return str(ended["loop"])


def test_a_replay_shows_the_loop_after_any_event(here: Installation, loop: str) -> None:
    count = len(here.events(loop))
    first, last = here.json("replay", loop, "--to", "0"), here.json("replay", loop)
    assert (first["state"], last["state"]) == ("admitted", "ended")
    assert last == here.json("show", loop)
    assert "planning" in here.run("replay", loop, "--to", "1").stdout
    beyond = here.run("replay", loop, "--to", str(count))
    assert beyond.returncode == 1
    assert f"there is no event {count}" in beyond.stderr


def test_a_diff_shows_what_iterations_changed(here: Installation, loop: str) -> None:
    whole = here.run("diff", loop, "0", "2").stdout
    assert "+++ b/one" in whole
    assert "+++ b/two" in whole
    second = here.json("diff", loop, "1", "2")["diff"]
    assert "+++ b/two" in second
    assert "one" not in second
    assert "there are 0 to 3" in here.run("diff", loop, "1", "4").stderr


def test_a_fork_goes_on_from_its_iteration_and_is_a_loop_of_its_own(
    here: Installation, loop: str, tmp_path: Path
) -> None:
    ended = here.json("fork", loop, "--at-iteration", "1", "--set", "budget.iterations=2")
    assert (ended["outcome"], ended["iterations"]) == ("achieved", 2)
    new = ended["loop"]
    assert new != loop
    plans = [e["data"]["plan"]["rule"] for e in here.events(new)
             if e["data"]["kind"] == "execution_requested"]  # fmt: skip
    assert plans == ["make-two", "make-three"]
    assert here.run("result", new, "--to", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out/one").read_text() == "1\n"
    assert here.json("verify-log", new)["violations"] == 0
    origin = here.events(new)[0]["data"]["goal"]["origin"]
    assert (origin["loop"], origin["iteration"]) == (loop, 1)


def test_what_a_loop_spoilt_is_still_judged_by_the_goals_own_workspace(
    here: Installation, loop: str
) -> None:
    ended = here.json("fork", loop, "--at-iteration", "3", "--set", "verify.protected=[]", code=3)
    assert ended["outcome"] != "achieved"
    kept = here.json("fork", loop, "--at-iteration", "3")
    assert kept["outcome"] == "achieved"


def test_a_fork_of_nothing_says_so(here: Installation, loop: str) -> None:
    late = here.run("fork", loop, "--at-iteration", "7")
    assert late.returncode == 1
    assert "there are 0 to 3 to begin after" in late.stderr
    wrong = here.json("fork", loop, "--at-iteration", "1", "--set", "budget.iteratons=2", code=2)
    assert wrong["faults"][0]["path"] == "budget.iteratons"


def test_an_estimate_comes_from_like_loops_where_there_are_enough(
    here: Installation, loop: str, tmp_path: Path
) -> None:
    path = three_steps(tmp_path)
    found = here.json("estimate", path)
    assert found["like"] >= 1
    assert 1 <= found["iterations"]["p50"] <= found["iterations"]["p90"] <= 3
    assert "p90" in here.run("estimate", path).stdout
    nowhere = Installation(tmp_path / "nowhere")
    assert nowhere.json("estimate", path)["source"] == "shape"
    assert nowhere.run("estimate", str(tmp_path / "none.yaml")).returncode == 2
