"""The demo with real processes: achieved on the real table, and able to fail."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from installation import ROOT, Installation, installation, prepare_penguins, wait_until

DEMO = ROOT / "examples/clean-data/goal.yaml"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    prepare_penguins()
    with installation(tmp_path_factory.mktemp("loopwright")) as one:
        yield one


@pytest.fixture(scope="module")
def achieved(here: Installation) -> dict[str, Any]:
    """The demo's own run, with everything brought up by it."""
    return dict(here.json("run", str(DEMO)))


def variant(folder: Path, change: Any) -> Path:
    """The demo's goal with a change, in a folder that has its tables."""
    goal = yaml.safe_load(DEMO.read_text())
    change(goal)
    for name in ("input", "held-out"):
        (folder / name).symlink_to(DEMO.parent / name)
    path = folder / "goal.yaml"
    path.write_text(yaml.safe_dump(goal))
    return path


def test_the_raw_table_becomes_the_published_one(
    here: Installation, achieved: dict[str, Any], tmp_path: Path
) -> None:
    assert (achieved["outcome"], achieved["reason"]) == ("achieved", "verified")
    assert achieved["iterations"] == 5
    assert {check["status"] for check in achieved["checks"]} == {"passed"}
    here.json("result", achieved["loop"], "--to", str(tmp_path / "out"))
    made = (tmp_path / "out/tidy.csv").read_text().splitlines()
    published = (DEMO.parent / "held-out/penguins.csv").read_text().splitlines()
    assert list(csv.reader(made)) == list(csv.reader(published))


def test_the_patch_applies_to_what_the_loop_started_from(
    here: Installation, achieved: dict[str, Any]
) -> None:
    patch = here.run("result", achieved["loop"], "--patch").stdout
    assert "+++ b/tidy.csv" in patch
    assert "penguins-raw.csv" not in patch


def test_every_way_of_looking_at_the_loop_agrees(
    here: Installation, achieved: dict[str, Any]
) -> None:
    loop = achieved["loop"]
    shown = here.json("show", loop)
    assert shown["outcome"] == "achieved"
    listed = wait_until(lambda: [v for v in here.json("ls") if v.get("outcome")], 20)
    assert loop in [view["loop"] for view in listed]
    events = here.events(loop)
    assert len(events) == shown["n"] + 1
    assert here.json("verify-log", loop)["violations"] == 0
    assert "achieved" in here.run("show", loop).stdout
    assert here.run("watch", loop).returncode == 0


def test_one_trace_runs_through_all_processes(here: Installation, achieved: dict[str, Any]) -> None:
    traces = {event["traceparent"].split("-")[1] for event in here.events(achieved["loop"])}
    assert len(traces) == 1
    trace = f"0x{traces.pop()}"

    def services() -> set[str]:
        found = set()
        for path in (here.data / "traces").glob("*.ndjson"):
            spans = [json.loads(line) for line in path.read_text().splitlines()]
            if any(span["context"]["trace_id"] == trace for span in spans):
                found.add(path.stem)
        return found

    wanted = {"coordinator", "planner", "executor", "verifier", "state"}
    wait_until(lambda: services() >= wanted, 30)


def test_a_missing_action_ends_exhausted_with_the_best_named(
    here: Installation, tmp_path: Path
) -> None:
    def leave_out(goal: Any) -> None:
        goal["planner"]["rules"] = [r for r in goal["planner"]["rules"] if r["name"] != "tidy-sex"]

    ended = here.json("run", str(variant(tmp_path, leave_out)), code=3)
    assert (ended["outcome"], ended["reason"]) == ("exhausted", "no_rule_applies")
    assert 0.5 < ended["score"] < 1
    failed = [check["name"] for check in ended["checks"] if check["status"] != "passed"]
    assert failed == ["sex", "agrees"]


def test_a_failing_action_leaves_no_trace_in_the_workspace(
    here: Installation, tmp_path: Path
) -> None:
    def break_it(goal: Any) -> None:
        rules = goal["planner"]["rules"]
        rules[0]["do"].append({"tool": "shell", "args": {"run": "echo half > half.txt; exit 3"}})
        goal["budget"]["iterations"] = 1

    held = here.json("run", str(variant(tmp_path, break_it)), code=3)
    assert (held["outcome"], held["state"], held["reason"]) == (
        None,
        "budget_exhausted",
        "iterations",
    )
    here.json("cancel", held["loop"])
    ended = here.json("watch", held["loop"], code=3)
    assert ended["outcome"] == "cancelled"
    here.json("result", ended["loop"], "--to", str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["penguins-raw.csv"]


def test_an_action_cannot_reach_the_held_out_table(here: Installation, tmp_path: Path) -> None:
    def peek(goal: Any) -> None:
        find = (
            "find / -name penguins.csv 2>/dev/null | grep -v site-packages; cat tidy.csv >/dev/null"
        )
        goal["planner"]["rules"][0]["do"].append({"tool": "shell", "args": {"run": find}})
        goal["budget"]["iterations"] = 1

    ended = here.json("run", str(variant(tmp_path, peek)), code=3)
    outcome = next(
        event["data"]["outcome"]
        for event in here.events(ended["loop"])
        if event["data"]["kind"] == "verification_requested"
    )
    assert outcome["actions"][1]["stdout"] == ""


def test_ctrl_c_cancels_the_loop_and_says_so(here: Installation, tmp_path: Path) -> None:
    def linger(goal: Any) -> None:
        goal["planner"]["rules"][0]["do"].append({"tool": "shell", "args": {"run": "sleep 60"}})

    process = here.start("run", str(variant(tmp_path, linger)))
    wait_until(lambda: here.json("ls", "--state", "executing", code=None), 30)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert "Cancelling the loop" in said
    assert "cancelled" in said
    assert process.returncode == 3


def test_detach_returns_at_once_with_the_command_that_watches(
    here: Installation, achieved: dict[str, Any]
) -> None:
    assert achieved["outcome"] == "achieved"
    done = here.run("run", str(DEMO), "--detach")
    assert done.returncode == 0
    assert "loopwright watch" in done.stdout
