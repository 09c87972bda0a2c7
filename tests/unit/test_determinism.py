"""The same arguments give the same decision, in this process and in any other.

Within a process `Table.give` decides everything twice, so each test that plays a loop, the one of
hypothesis included, is a test of this too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import hashlib
from dataclasses import asdict
from greedy import play
from simulation.check import run
bodies = [body for index in range(30) for body in play(7, index).table.log.bodies]
print(len(bodies), hashlib.sha256(b"".join(bodies)).hexdigest())
for report in map(run, range(40)):
    print({**asdict(report), "states": sorted(report.states)})
"""


def told(hash_seed: str) -> str:
    """The logs of some loops, in a process that orders its sets by this seed."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_other_processes_come_to_the_same_logs_byte_for_byte() -> None:
    first = told("0")
    assert int(first.split()[0]) > 50
    assert [told("1"), told("4711")] == [first, first]
