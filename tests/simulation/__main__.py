"""`make simulate SEEDS=N` or `make simulate SEED=n`: ends with one JSON line of figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from time import monotonic

from simulation.check import Report, run


def main() -> int:
    """Run the seeds; print each violation with the command that replays it."""
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    began, reports = (
        monotonic(),
        [run(s) for s in ([options.seed] if options.seed is not None else seeds)],
    )
    for report in reports:
        for violation in report.violations:
            print(f"seed {report.seed}: {violation}  (replay: make simulate SEED={report.seed})")
    print(json.dumps(figures(reports, monotonic() - began)))
    return 1 if any(report.violations for report in reports) else 0


def figures(reports: list[Report], seconds: float) -> dict[str, object]:
    """One line that says what was run and what was found."""
    return {
        "target": "simulate",
        "seeds": len(reports),
        "violations": sum(bool(report.violations) for report in reports),
        "events": sum(report.events for report in reports),
        "crashes": sum(report.crashes for report in reports),
        "conflicts": sum(report.conflicts for report in reports),
        "outcomes": dict(Counter(o for report in reports for o in report.outcomes)),
        "seconds": round(seconds, 2),
        "seeds_per_s": round(len(reports) / seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
