"""What one loop learns, the next is told: through the command and real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation import Installation, installation, wait_until

FACT = "The greeting must name the world in lower case."
#: Remembers a fact in the first iteration, and writes what it is asked to in any.
PLANNER = f"""
import json, sys
context = json.load(sys.stdin)
told = [item["text"] for item in context["memories"]]
write = {{"tool": "file.write", "args": {{"path": "hello.txt", "content": "hello, world\\n"}}}}
plan = {{"summary": "greet", "actions": [write], "remember": ["{FACT}"]}}
plan["summary"] += " as was learned" if "{FACT}" in told else ""
print(json.dumps(plan))
"""


def greet(folder: Path) -> str:
    goal = {
        "name": "greeting",
        "objective": "hello.txt greets the world.",
        "workspace": {"files": {"planner.py": PLANNER}},
        "planner": {"backend": "command", "run": "python3 planner.py"},
        "verify": {
            "protected": ["planner.py"],
            "checks": [
                {"name": "greets", "kind": "regex", "path": "hello.txt", "pattern": "hello, world"}
            ],
        },
        "budget": {"iterations": 2, "time": "5m"},
    }
    path = folder / "goal.json"
    path.write_text(json.dumps(goal))
    return str(path)


def planned(here: Installation, loop: str) -> dict[str, Any]:
    events = [event["data"] for event in here.events(loop)]
    return dict(next(e["plan"] for e in events if e["kind"] == "execution_requested"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("remembering") / "data") as installed:
        yield installed


@pytest.fixture(scope="module")
def first(here: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A loop that has learned the fact."""
    return str(here.json("run", greet(tmp_path_factory.mktemp("goal")))["loop"])


def test_what_a_loop_has_learned_can_be_looked_at(here: Installation, first: str) -> None:
    kept = wait_until(lambda: here.json("memory", "ls", "--kind", "fact"))
    assert (kept[0]["text"], kept[0]["loop"]) == (FACT, first)
    assert FACT in here.run("memory", "show", kept[0]["id"]).stdout
    (episode,) = here.json("memory", "search", "greet", "--loop", first)
    assert episode["iteration"] == 1


def test_a_loop_is_told_what_another_learned_until_that_is_forgotten(
    here: Installation, first: str, tmp_path: Path
) -> None:
    kept = wait_until(lambda: here.json("memory", "ls", "--kind", "fact"))
    second = planned(here, here.json("run", greet(tmp_path))["loop"])
    assert second["summary"] == "greet as was learned"
    assert kept[0]["id"] in second["recalled"]
    here.json("memory", "forget", kept[0]["id"])
    third = planned(here, here.json("run", greet(tmp_path))["loop"])
    assert third["summary"] == "greet"
    assert here.json("memory", "ls", "--kind", "fact") == []
