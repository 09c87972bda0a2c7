"""`make simulate SEEDS=N` or `make simulate SEED=n`: ends with one JSON line of figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from loopwright.states import TRANSITIONS
from simulation.check import run

#: Seeds that a process runs before it reports.
CHUNK = 250


@dataclass(slots=True)
class Figures:
    """What some seeds came to."""

    seeds: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    states: set[tuple[str, str]] = field(default_factory=set)
    """Changes of state that happened."""

    def add(self, other: Figures) -> None:
        """Take in what other seeds came to."""
        self.seeds += other.seeds
        self.violations += other.violations
        self.counts += other.counts
        self.outcomes += other.outcomes
        self.states |= other.states


def simulate(first: int, seeds: int) -> Figures:
    """Run some seeds."""
    figures = Figures()
    for seed in range(first, first + seeds):
        report = run(seed)
        figures.seeds += 1
        figures.violations += [(seed, sentence) for sentence in report.violations]
        figures.outcomes.update(report.outcomes)
        figures.states |= report.states
        figures.counts.update(report.counts)
        figures.counts.update(
            events=report.events, crashes=report.crashes, conflicts=report.conflicts
        )
    return figures


def main() -> int:
    """Run the seeds on every core; print each violation with the command that replays it."""
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    first, seeds = options.first, options.seeds
    if options.seed is not None:
        first, seeds = options.seed, 1
    began, total = monotonic(), Figures()
    starts = range(first, first + seeds, CHUNK)
    with ProcessPoolExecutor(min(len(starts), os.cpu_count() or 1)) as pool:
        sizes = [min(CHUNK, first + seeds - start) for start in starts]
        for part in pool.map(simulate, starts, sizes):
            for seed, sentence in part.violations:
                print(f"seed {seed}: {sentence}  (replay: make simulate SEED={seed})")
            total.add(part)
    print(json.dumps(line(total, monotonic() - began)))
    return 1 if total.violations else 0


def line(total: Figures, seconds: float) -> dict[str, object]:
    """One line that says what was run and what was found."""
    return {
        "target": "simulate",
        "seeds": total.seeds,
        "violations": len(total.violations),
        **total.counts,
        "outcomes": dict(sorted(total.outcomes.items())),
        "transitions": len(total.states & set(TRANSITIONS)),
        "seconds": round(seconds, 2),
        "seeds_per_s": round(total.seeds / seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
