"""`make bench LOOPS=50 ROUNDS=3`: tables on the way, one JSON line of figures at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from benchmarks.books import faults
from benchmarks.figures import Row, figures, ratios, table
from benchmarks.flat import Flat, lengths, parked
from benchmarks.load import Measured, measure
from benchmarks.systems import Mode, Name, System, up

NAMES: tuple[Name, ...] = get_args(Name)
ITERATIONS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured."""

    sizes: tuple[int, ...]
    rounds: int
    modes: tuple[Mode, ...]
    length: int
    """Iterations of the one long loop; 0 leaves it out."""
    parked: int
    """Loops that are parked to be weighed; 0 leaves them out."""
    least: int = 20
    """Loops of a measurement, at the least: fewer say nothing."""
    warm: int = 10
    """Loops that go through before anything is counted."""


@dataclass(slots=True)
class Found:
    """What was measured, and what was wrong."""

    rows: list[Row] = field(default_factory=list)
    flat: list[Flat] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def main() -> int:
    """Measure, print, and say whether every loop ended as it had to."""
    folder = Path(tempfile.mkdtemp(prefix="loopwright-bench-"))
    try:
        found = asyncio.run(bench(_asked(), folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(found.rows))
    for sentence in (*map(str, found.flat), *ratios(found.rows), *found.violations):
        print(sentence)
    print(json.dumps(figures(found.rows, found.flat, found.violations)))
    return 1 if found.violations else 0


def _asked() -> Asked:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--loops", default="1,50,500", help="loops at once, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default="K,F")
    parser.add_argument("--length", type=int, default=1000, help="iterations of the long loop")
    parser.add_argument("--parked", type=int, default=1000)
    asked = parser.parse_args()
    known: dict[str, Mode] = {mode: mode for mode in get_args(Mode)}
    return Asked(
        sizes=tuple(map(int, asked.loops.split(","))),
        rounds=asked.rounds,
        modes=tuple(known[mode] for mode in asked.modes.split(",")),
        length=asked.length,
        parked=asked.parked,
    )


async def bench(asked: Asked, folder: Path) -> Found:
    """Every mode, one after the other."""
    found = Found()
    for mode in asked.modes:
        async with AsyncExitStack() as stack:
            systems = [
                await stack.enter_async_context(up(name, mode, folder / f"{name}-{mode}"))
                for name in NAMES
            ]
            await _rounds(asked, mode, systems, found)
            if mode == asked.modes[0]:
                found.flat += await lengths(systems[0], asked.length)
                found.flat += await parked(systems[0], asked.parked)
    return found


async def _rounds(asked: Asked, mode: Mode, systems: list[System], found: Found) -> None:
    """The systems take turns, so that what else the machine does falls on all of them."""
    for system in systems:
        await measure(system, at_once=asked.warm, loops=asked.warm, iterations=ITERATIONS)
    for size in asked.sizes:
        for _ in range(asked.rounds):
            for system in systems:
                one = await _one(asked, system, size)
                found.rows.append(Row(system.name, mode, size, one))
                print(f"{system.name} {mode} {size}: {one.per_second:.1f}/s", file=sys.stderr)
                found.violations += await faults(system.name, system.url, one, ITERATIONS)


async def _one(asked: Asked, system: System, size: int) -> Measured:
    return await measure(system, at_once=size, loops=max(size, asked.least), iterations=ITERATIONS)


if __name__ == "__main__":
    sys.exit(main())
