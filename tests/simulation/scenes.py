"""What a world holds, by its seed: its goals, a provider that goes down, a tenant with a quota.

Most worlds have one loop. The others are few, since they cost more, and sit at fixed places so that
whoever wants a world of a kind finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

from loopwright.goal import Goal
from loopwright.tenant import Quota
from loopwright.testing import model_goal, playbook_goal
from loopwright.wire import Json
from simulation.world import World

#: Every so many seeds the kinds of worlds repeat.
EVERY = 100
#: Place among them → what a world there holds.
PLACES: dict[int, frozenset[str]] = {
    3: frozenset({"families"}),
    28: frozenset({"outages"}),
    53: frozenset({"tenants"}),
    78: frozenset({"families"}),
}

#: Steps so short that some workers are still busy when they are over.
_SHORT = {"plan_time": 20, "execute_time": 20, "verify_time": 20}
#: Small enough that budgets bind.
GOALS: tuple[Goal, ...] = (
    playbook_goal(budget={"iterations": 3, "actions": 4, "time": 1500}, limits=_SHORT),
    playbook_goal(budget={"iterations": 2, "time": 300}, limits={"attempts": 2}),
    model_goal(budget={"iterations": 6, "tokens": 6000, "usd": "0.008", "time": 2500}),
    model_goal(budget={"iterations": 4, "tokens": 3500, "time": 900}, limits=_SHORT),
    playbook_goal(budget={"iterations": 2, "actions": 3, "time": 1200}, on_exhausted="hold"),
    playbook_goal(
        budget={"iterations": 3, "time": 900}, approvals=["plan", "result"], on_exhausted="hold"
    ),
    model_goal(budget={"iterations": 3, "tokens": 500, "time": 900}, on_exhausted="hold"),
    model_goal(budget={"iterations": 3, "tokens": 6000, "time": 900}, on_exhausted="hold"),
)
_NAMED: list[Json] = [{"name": "left"}, {"name": "right"}, {"name": "middle"}]
_NESTS: dict[str, Json] = {"tools": ["shell", "spawn_loop"], "nesting": {"depth": 2, "fan_out": 3}}
_SPENDS: dict[str, Json] = {"iterations": 9, "tokens": 24_000, "usd": "0.03", "actions": 18}
#: Loops that start loops: by their goal's pattern, or by their plans.
FAMILIES: tuple[Goal, ...] = (
    model_goal(
        pattern={"pattern": "race", "children": _NAMED},
        budget={"iterations": 24, "tokens": 90_000, "usd": "0.2", "actions": 60, "time": 1500},
    ),
    model_goal(
        pattern={"pattern": "best_of", "children": _NAMED[:2]},
        budget={**_SPENDS, "time": 1200},
        on_exhausted="hold",
    ),
    model_goal(**_NESTS, budget={**_SPENDS, "time": 2000}, on_exhausted="hold"),
    model_goal(**_NESTS, budget={**_SPENDS, "time": 900}, limits=_SHORT, approvals=["plan"]),
    playbook_goal(
        pattern={"pattern": "map", "children": [{"name": "part"}], "items": ["x", "y"]},
        **{**_NESTS, "nesting": {"depth": 2, "fan_out": 2}},
        budget={"iterations": 8, "actions": 14, "time": 1500},
    ),
)
#: Loops whose model may be down.
PATIENT: tuple[Goal, ...] = (
    model_goal(
        budget={"iterations": 6, "tokens": 9000, "time": 1500},
        on_exhausted="hold",
        approvals=["plan", "result"],
    ),
    model_goal(
        budget={"iterations": 5, "tokens": 9000, "usd": "0.02", "time": 1200},
        limits={"patience": 90},
    ),
    model_goal(budget={"iterations": 3, "tokens": 6000, "time": 900}, on_exhausted="hold"),
)
QUOTAS: tuple[Quota, ...] = (
    Quota(tokens_total=13_000),
    Quota(usd_total=Decimal("0.02"), loops=2),
)
#: Loops of a tenant with a quota: each has caps of its own.
LEASED: tuple[Goal, ...] = (
    model_goal(budget={"iterations": 4, "tokens": 5000, "usd": "0.008", "time": 900}),
    model_goal(
        budget={"iterations": 3, "tokens": 4000, "usd": "0.006", "time": 600}, on_exhausted="hold"
    ),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a world begins with."""

    goals: tuple[Goal, ...]
    outages: bool = False
    quota: Quota | None = None
    families: bool = False
    pace: float = 2.0
    """Steps that a worker does a second: loops that start loops are to be met at work."""
    cancels: float = 0.1
    """How often a person cancels a loop, as a probability."""


def kinds(seed: int) -> frozenset[str]:
    """What a world holds beside loops."""
    return PLACES.get(seed % EVERY, frozenset())


def worlds(kind: str) -> Iterator[int]:
    """The seeds whose worlds are of a kind, rising; every seed for a kind that is none."""
    return (seed for seed in count() if not kind or kind in kinds(seed))


def scene(world: World) -> Scene:
    """What a seed's world begins with."""
    held, random = kinds(world.seed), world.random
    if "families" in held:
        return Scene((random.choice(FAMILIES),), families=True, pace=0.1, cancels=0.4)
    if "outages" in held:
        return Scene(tuple(random.choice(PATIENT) for _ in range(3)), outages=True)
    if "tenants" in held:
        goals = tuple(random.choice(LEASED) for _ in range(4))
        return Scene(goals, quota=random.choice(QUOTAS))
    # Loops do not touch each other, but they share caches and queues: one world in ten has two.
    return Scene(tuple(random.choice(GOALS) for _ in range(2 if world.seed % 10 == 0 else 1)))
