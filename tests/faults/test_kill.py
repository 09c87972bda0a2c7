"""`kill -9` of each part in turn while the demo runs: it must still be achieved."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from installation import ROOT, Installation, installation, prepare_penguins, wait_until

DEMO = ROOT / "examples/clean-data/goal.yaml"
PARTS = ("coordinator", "planner", "executor", "verifier", "state", "nats", "valkey")


def reached(here: Installation, loop: str, iteration: int) -> bool:
    return bool(here.json("show", loop, code=None).get("iteration", 0) >= iteration)


@pytest.mark.parametrize("part", PARTS)
def test_the_demo_is_achieved_though_a_part_is_killed(part: str, tmp_path: Path) -> None:
    prepare_penguins()
    with installation(tmp_path / "data") as here:
        loop = here.json("run", str(DEMO), "--detach")["loop"]
        for iteration in (2, 4):
            wait_until(partial(reached, here, loop, iteration))
            here.kill(part)
            wait_until(lambda: len(here.children()) == len(PARTS), 30)
        ended = here.json("watch", loop)
        assert ended["outcome"] == "achieved"
        assert here.json("verify-log", "--all")["violations"] == 0
        views = wait_until(lambda: here.json("ls", code=None), 30)
        assert [view["loop"] for view in views] == [loop]
