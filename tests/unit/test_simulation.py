"""A hundred thousand simulated worlds, and the guards that they are there to watch."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from itertools import islice

import pytest

from loopwright.states import TRANSITIONS
from simulation.__main__ import simulate
from simulation.check import run
from simulation.mutants import hunt
from simulation.rules import Rules
from simulation.scenes import worlds

SEEDS, CHUNK = 100_000, 2_500
#: What only judges bring about: they cost, and the simulation's verifiers do not.
NOT_SIMULATED = {("budget_exhausted", "verifying")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_world_violates_an_invariant(first: int) -> None:
    figures = simulate(first, CHUNK)
    assert figures.violations == []
    assert figures.counts["crashes"] > CHUNK
    assert figures.counts["conflicts"] > CHUNK


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        ("families", "children"),
        ("outages", "probes"),
        ("outages", "refused calls"),
        ("tenants", "leases"),
    ],
)
def test_the_worlds_of_a_kind_hold_what_they_are_for(kind: str, held: str) -> None:
    counts = Counter[str]()
    for seed in islice(worlds(kind), 400):
        counts += run(seed).counts
        if counts[held] >= 5:
            return
    pytest.fail(f"{counts[held]} {held} in 400 worlds of {kind}")


@pytest.mark.timeout(900)
def test_the_worlds_go_through_every_change_of_state() -> None:
    missing = set(TRANSITIONS) - NOT_SIMULATED
    for kind, most in (("", 1_500), ("outages", 500), ("families", 500), ("", 20_000)):
        for seed in islice(worlds(kind), most):
            missing -= run(seed).states
            if not missing:
                return
    assert missing == set()


def test_a_seed_replays() -> None:
    assert run(7) == run(7)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", [item.name for item in fields(Rules)])
def test_a_guard_that_is_taken_out_is_missed(mutant: str) -> None:
    assert hunt(mutant, once=True).first is not None
