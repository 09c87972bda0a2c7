"""A hundred thousand simulated worlds, and the guards that they are there to watch."""

from __future__ import annotations

from dataclasses import fields

import pytest

from loopwright.states import TRANSITIONS
from simulation.__main__ import simulate
from simulation.check import run
from simulation.mutants import hunt
from simulation.rules import Rules

SEEDS, CHUNK = 100_000, 5_000
#: Changes of state that need what the simulation has not: children.
NOT_SIMULATED = {pair for pair in TRANSITIONS if "awaiting_children" in pair}


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_world_violates_an_invariant(first: int) -> None:
    figures = simulate(first, CHUNK)
    assert figures.violations == []
    assert figures.counts["crashes"] > CHUNK
    assert figures.counts["conflicts"] > CHUNK


def test_the_worlds_go_through_every_change_of_state() -> None:
    seen = simulate(0, 4000).states
    assert set(TRANSITIONS) - NOT_SIMULATED - seen == set()


def test_a_seed_replays() -> None:
    assert run(7) == run(7)


@pytest.mark.parametrize("mutant", [item.name for item in fields(Rules)])
def test_a_guard_that_is_taken_out_is_missed(mutant: str) -> None:
    assert hunt(mutant).first is not None
