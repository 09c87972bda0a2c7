"""The small form of `make chaos`: 300 loops, and no process is safe."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from chaos.faults import KILLED
from installation import ROOT

#: The run bounds itself; this is for a machine on which nothing moves.
RUN_S = 600


def chaos(**options: int) -> tuple[dict[str, Any], str]:
    """The figures of a run, and all that it said."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *words],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.mark.timeout(RUN_S + 30)
def test_nothing_is_lost_done_twice_or_overspent_whatever_is_killed() -> None:
    figures, said = chaos(loops=300, kills=16, seed=1)
    assert figures["violations"] == 0, said
    assert figures["ended"] == sum(figures["outcomes"].values()) == 300
    assert set(figures["kills"]) == set(KILLED)
    assert min(figures["kills"].values()) >= 2
    assert {"nats", "valkey"} <= set(figures["freezes"])
    assert sum(figures["connections"].values()) > 0
    assert figures["executed_twice"] == 0
    assert figures["executions"] >= 1400
    assert figures["conflicts"] >= 100
    assert figures["dead_letters"] == figures["poisoned"] == 20
    assert figures["lies"] >= 5
