"""A few hundred simulated worlds, and the guards that they are there to watch."""

from __future__ import annotations

from dataclasses import fields

import pytest

from simulation.check import run
from simulation.mutants import hunt
from simulation.rules import Rules

SEEDS = 400


def test_no_world_violates_an_invariant() -> None:
    reports = [run(seed) for seed in range(SEEDS)]
    assert [(report.seed, report.violations) for report in reports if report.violations] == []
    assert sum(report.crashes for report in reports) > SEEDS
    assert sum(report.conflicts for report in reports) > SEEDS


def test_a_seed_replays() -> None:
    assert run(7) == run(7)


@pytest.mark.parametrize("mutant", [item.name for item in fields(Rules)])
def test_a_guard_that_is_taken_out_is_missed(mutant: str) -> None:
    assert hunt(mutant).first is not None
