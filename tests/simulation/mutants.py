"""`make mutants`: each guard is taken out, and the simulation must notice within 100 seeds.

They are 100 seeds of the worlds that hold what the guard is about: families, outages, quotas.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from itertools import islice

from loopwright.errors import LoopwrightError
from simulation.check import run
from simulation.rules import Rules
from simulation.scenes import worlds

SEEDS = 100
#: Guard → the kind of worlds in which it is missed; "" is any world.
KINDS: dict[str, str] = {item.name: item.metadata.get("worlds", "") for item in fields(Rules)}


@dataclass(frozen=True, slots=True)
class Caught:
    """How a mutant was noticed."""

    mutant: str
    seeds: int
    first: int | None
    how: str


def hunt(mutant: str, seeds: int = SEEDS, *, once: bool = False) -> Caught:
    """Run the simulation without one guard, on all seeds or until it is missed `once`."""
    rules, noticed = Rules(**{mutant: False}), list[tuple[int, str]]()
    for seed in islice(worlds(KINDS[mutant]), seeds):
        try:
            noticed += [(seed, violation) for violation in run(seed, rules).violations[:1]]
        except LoopwrightError as error:
            noticed.append((seed, f"log: {error}"))
        if noticed and once:
            break
    first = noticed[0] if noticed else (None, "NOT CAUGHT")
    return Caught(mutant, len(noticed), *first)


def main() -> int:
    """Print the table and a line of figures."""
    table = [hunt(item.name) for item in fields(Rules)]
    for row in table:
        print(f"{row.mutant:20} {row.seeds:3} of {SEEDS} seeds, first {row.first}: {row.how}")
    missed = [row.mutant for row in table if row.first is None]
    print(json.dumps({"target": "mutants", "mutants": len(table), "violations": len(missed)}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
