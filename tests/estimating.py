"""`make estimates`: how well estimates fit loops that were not seen, over simulated families.

A family of goals has its own difficulty: how likely an iteration ends the loop, and how much one
takes. Some of its loops are the history; the next one is estimated, then drawn.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from statistics import fmean

from loopwright.budget import Budget
from loopwright.estimate import Past, estimate
from loopwright.goal import Goal
from loopwright.testing import model_goal

CAP = 60
HISTORIES = (3, 5, 10, 20, 40)
HELD_OUT = 5


def family(rng: random.Random) -> list[Past]:
    """Loops of one family, in the order in which they ran."""
    ends = rng.uniform(0.08, 0.6)
    tokens, seconds = rng.lognormvariate(8, 0.6), rng.lognormvariate(3, 0.5)
    return [_loop(rng, ends, tokens, seconds) for _ in range(max(HISTORIES) + HELD_OUT)]


def _loop(rng: random.Random, ends: float, tokens: float, seconds: float) -> Past:
    iterations = 1
    while iterations < CAP and rng.random() > ends:
        iterations += 1
    used = sum(round(tokens * rng.lognormvariate(0, 0.4)) for _ in range(iterations))
    took = sum(seconds * rng.lognormvariate(0, 0.4) for _ in range(iterations))
    return Past(iterations, used, used * 2, took)


def roomy() -> Goal:
    """A goal whose budget is in nobody's way."""
    goal = model_goal()
    budget = Budget.model_validate({"iterations": CAP, "tokens": 10**9, "usd": 10**4, "time": "7d"})
    return goal.model_copy(update={"budget": budget})


def figures(families: int, seed: int) -> dict[str, float | int]:
    """Errors and coverage over all families, histories and kinds of totals."""
    rng, goal = random.Random(seed), roomy()
    errors: list[float] = []
    halves: list[bool] = []
    nines: list[bool] = []
    for _ in range(families):
        loops = family(rng)
        for size in HISTORIES:
            found = estimate(goal, None, loops[:size])
            assert found.source == "history"
            for actual in loops[-HELD_OUT:]:
                errors.append(abs(found.tokens.p50 - actual.tokens) / actual.tokens)
                for item, value in (
                    (found.tokens, actual.tokens),
                    (found.time_s, actual.seconds),
                ):
                    halves.append(value <= item.p50)
                    nines.append(value <= item.p90)
    return {
        "families": families,
        "estimates": families * len(HISTORIES),
        "median_error": round(sorted(errors)[len(errors) // 2], 3),
        "mean_error": round(fmean(errors), 3),
        "within_p50": round(fmean(halves), 3),
        "within_p90": round(fmean(nines), 3),
    }


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="estimates")
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(figures(options.families, options.seed)) + "\n")


if __name__ == "__main__":
    main()
