"""People and running loops, through the command: every word, and what it does to real processes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext

from installation import Installation, alive, installation, wait_until
from loopwright.control import Cancel
from loopwright.ids import new_loop_id
from waiting import until

#: Loops that are cancelled one after another while the others wait for their turn.
CANCELS = 4
TICK = "import time, pathlib\npathlib.Path('ticks').write_text(str(time.time()))\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("control") / "data") as installed:
        yield installed


def goal(folder: Path, run: str, **more: Any) -> str:
    """A goal whose one rule runs a command until a file says `done`."""
    text = {
        "name": "control",
        "objective": "The file says done.",
        "workspace": {"files": {"state": "not yet\n"}},
        "planner": {
            "backend": "playbook",
            "rules": [
                {
                    "name": "work",
                    "when": {"start": True, "failing": ["done"]},
                    "times": 100,
                    "do": [{"tool": "shell", "args": {"run": run}}],
                }
            ],
        },
        "verify": {
            "checks": [{"name": "done", "kind": "regex", "path": "state", "pattern": "done"}]
        },
        "budget": {"iterations": 2, "time": "10m"},
        **more,
    }
    path = folder / "goal.json"
    path.write_text(json.dumps(text))
    return str(path)


def state(here: Installation, loop: str) -> str:
    return str(here.json("show", loop)["state"])


def running(marker: str) -> list[int]:
    """Processes whose command line has the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.timeout(600)
async def test_cancel_kills_a_running_action_within_a_second_whatever_is_queued(
    here: Installation, tmp_path: Path
) -> None:
    """From the bus's word that it has the cancellation to the end of the action's processes.

    A machine that is busy with something else makes some slow, a detour makes all slow: more than
    half of the newest ones must be quick.
    """
    took: list[float] = []
    here.json("run", goal(tmp_path, "true"), "--detach")  # brings the runtime up
    async with connected(here) as js:
        while len(took) < CANCELS or median(took[-CANCELS:]) > 1.0:
            assert len(took) < 5 * CANCELS, f"seconds from cancel to the action's end: {took}"
            marks = {new_loop_id(): f"sleep 321.{n}{os.getpid():07}" for n in range(CANCELS)}
            for loop, mark in marks.items():
                path = goal(tmp_path, mark, id=loop)
                await js.publish("goal.submitted.default", Path(path).read_bytes())
            took += await cancelled_one_by_one(js, marks)
    for loop in marks:
        assert here.json("watch", loop, code=3)["outcome"] == "cancelled"


async def cancelled_one_by_one(js: JetStreamContext, marks: dict[str, str]) -> list[float]:
    """Seconds that each loop's action lived on; the others are queued meanwhile."""
    took = []
    waiting = dict(marks)
    while waiting:
        found = await until(partial(first_running, waiting))
        assert found is not None
        loop, pids = found
        cancel = Cancel(id="cancel-01", reason="enough").model_dump_json().encode()
        await js.publish(f"control.{loop}", cancel)
        began = monotonic()
        while any(map(alive, pids)):
            assert monotonic() - began < 60, f"loop {loop}: its action goes on"
            await asyncio.sleep(0.01)
        took.append(round(monotonic() - began, 3))
        del waiting[loop]
    return took


async def first_running(marks: dict[str, str]) -> tuple[str, list[int]] | None:
    """A loop whose action runs, and the action's processes."""
    for loop, mark in marks.items():
        if pids := running(mark.replace(" ", "\0")):  # the sleep itself, not who starts it
            return loop, pids
    return None


@asynccontextmanager
async def connected(here: Installation) -> AsyncIterator[JetStreamContext]:
    """The bus of a running installation."""
    runtime = here.runtime()
    nc = await nats.connect(
        runtime["nats_url"], user=runtime["nats_user"], password=runtime["nats_password"]
    )
    try:
        yield nc.jetstream()
    finally:
        await nc.close()


def test_a_budget_is_raised_and_the_loop_goes_on_to_its_goal(
    here: Installation, tmp_path: Path
) -> None:
    count = "echo x >> n; [ $(wc -l < n) -lt 4 ] || echo done > state"
    held = here.json("run", goal(tmp_path, count), code=3)
    loop = held["loop"]
    assert (held["state"], held["reason"]) == ("budget_exhausted", "iterations")
    shown = here.run("show", loop).stdout
    assert f"loopwright amend {loop}" in shown
    assert "expected in the end: 2 iterations" in shown
    here.json("amend", loop, "--iterations", "+3")
    ended = here.json("watch", loop)
    assert (ended["outcome"], ended["iterations"]) == ("achieved", 4)
    assert here.json("verify-log", loop)["violations"] == 0


def test_a_paused_loop_waits_and_a_nudge_and_a_resume_reach_it(
    here: Installation, tmp_path: Path
) -> None:
    path = goal(tmp_path, "sleep 0.3", budget={"iterations": 500, "time": "10m"},
                stuck={"repeats": 20, "patience": 1000, "polls": ["shell sleep *"]})  # fmt: skip
    loop = here.json("run", path, "--detach")["loop"]
    wait_until(lambda: here.json("show", loop)["iteration"] >= 1)
    assert here.json("pause", loop)["state"] == "paused"
    assert "paused already" not in here.run("show", loop).stdout
    assert here.json("watch", loop, code=3)["state"] == "paused"
    again = here.run("pause", loop)
    assert again.returncode == 1
    assert "it is paused" in again.stderr
    here.json("nudge", loop, "say done")
    here.json("resume", loop)
    wait_until(lambda: state(here, loop) != "paused")
    hints = [event["data"].get("hints") for event in here.events(loop)]
    assert ["say done"] in hints
    here.json("cancel", loop)
    assert here.json("verify-log", loop)["violations"] == 0


def test_a_plan_and_a_result_wait_for_their_approval(here: Installation, tmp_path: Path) -> None:
    path = goal(tmp_path, "echo done > state", approvals=["plan", "result"])
    asked = here.json("run", path, code=3)
    loop = asked["loop"]
    assert asked["state"] == "awaiting_approval"
    here.json("reject", loop, "--reason", "again, please")
    plan = here.json("watch", loop, code=3)
    assert (plan["state"], plan["iterations"]) == ("awaiting_approval", 2)
    assert here.json("approve", loop)["accepted"]
    result = here.json("watch", loop, code=3)
    assert (result["state"], result["score"]) == ("awaiting_approval", 1.0)
    told = [line.split() for line in here.run("show", loop).stdout.splitlines()]
    assert ["changes", "~", "state"] in told
    here.json("approve", loop, "--reason", "fine")
    ended = here.json("watch", loop)
    assert (ended["outcome"], ended["reason"]) == ("achieved", "approved")
    assert here.json("verify-log", loop)["violations"] == 0
    nothing = here.run("approve", loop)
    assert nothing.returncode == 1
    assert "nothing waits for approval" in nothing.stderr


def test_a_wrong_amendment_says_what_is_wrong(here: Installation, tmp_path: Path) -> None:
    held = here.json("run", goal(tmp_path, "true"), code=3)
    loop = held["loop"]
    assert "is no number" in here.run("amend", loop, "--iterations", "many").stderr
    assert "1 iterations are less than the 2" in here.run("amend", loop, "--iterations", "1").stderr
    assert "no such cap" in here.run("amend", loop, "--tokens", "+5").stderr
    assert "nothing is to be amended" in here.run("amend", loop).stderr
    here.json("cancel", loop)
    assert "the loop has ended" in here.run("resume", loop).stderr


async def test_dead_letters_are_read_and_dropped(here: Installation, tmp_path: Path) -> None:
    async with connected(here) as js:
        await js.publish("goal.submitted.default", b'{"nmae": "a typo"}')
    letters = wait_until(lambda: here.json("dead-letters", "ls"))
    number = str(letters[0]["seq"])
    assert "nmae" in letters[0]["reason"]
    assert "a typo" in here.run("dead-letters", "show", number).stdout
    assert number in here.run("dead-letters", "ls").stdout
    here.json("dead-letters", "retry", number)
    again = wait_until(lambda: here.json("dead-letters", "ls"))
    assert again[0]["seq"] > letters[0]["seq"]
    assert here.json("dead-letters", "drop", str(again[0]["seq"]))["dropped"] == [again[0]["seq"]]
    assert here.json("dead-letters", "ls") == []
    assert f"no dead letter {number}" in here.run("dead-letters", "show", number).stderr
