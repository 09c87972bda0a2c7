"""People of the simulation: they speak at random, twice, late, and out of turn."""

from __future__ import annotations

from functools import partial

from loopwright.control import (
    Amend,
    Approve,
    BudgetChange,
    Cancel,
    Control,
    Nudge,
    Pause,
    Reject,
    Resume,
    Retry,
)
from loopwright.loop import Loop
from simulation.cluster import Cluster

#: Somebody looks at a loop that waits for a person about so often, in seconds.
LOOK_S = 40.0


def speak(cluster: Cluster, loop_id: str) -> None:
    """Say some things to a loop at some times."""
    world = cluster.world
    for number in range(world.random.choice((0, 0, 1, 1, 2, 4))):
        word = _word(cluster, f"word-{number:04}")
        world.after(world.random.expovariate(1 / 30), partial(_say, cluster, loop_id, word))
    if world.random.random() < cluster.cancels:
        word = Cancel(id="cancel-01")
        early = world.random.random() < 0.5
        at = world.random.uniform(0, 12) if early else world.random.uniform(1, 60)
        world.after(at, partial(_say, cluster, loop_id, word))


def _say(cluster: Cluster, loop_id: str, word: Control) -> None:
    cluster.controls.put(loop_id, word)
    if cluster.world.chance(0.3):  # the sender got no answer
        cluster.world.after(1.0, partial(cluster.controls.put, loop_id, word))


def _word(cluster: Cluster, id_: str) -> Control:
    random = cluster.world.random
    words: list[Control] = [
        Pause(id=id_),
        Pause(id=id_, now=True),
        Resume(id=id_),
        Nudge(id=id_, hint="look again"),
        Retry(id=id_),
        Amend(id=id_, budget=BudgetChange(iterations=random.randint(1, 9))),
        Amend(id=id_, budget=BudgetChange(actions=random.randint(1, 9))),
        Amend(id=id_, budget=BudgetChange(time=random.uniform(10, 3000))),
        Approve(id=id_, of="0" * 40),
    ]
    return random.choice(words)


def attend(cluster: Cluster, loop_id: str, folds: dict[str, Loop]) -> None:
    """Now and then help a loop that waits for a person, or say no."""
    world, loop = cluster.world, folds.get(loop_id)
    if loop is not None and loop.ended is not None:
        return
    if loop is not None and (word := _help(cluster, loop)) is not None:
        _say(cluster, loop_id, word)
    world.after(world.random.expovariate(1 / LOOK_S), partial(attend, cluster, loop_id, folds))


def _help(cluster: Cluster, loop: Loop) -> Control | None:
    random, id_ = cluster.world.random, f"help-{loop.n:05}"
    if random.random() < 0.4:
        return None
    match loop.state:
        case "paused":
            return Resume(id=id_)
        case "blocked":
            return Retry(id=id_)
        case "awaiting_approval" if loop.held and loop.held.wanted:
            of = loop.held.wanted.of
            return Approve(id=id_, of=of) if random.random() < 0.7 else Reject(id=id_, of=of)
        case "budget_exhausted":
            more = BudgetChange(iterations=loop.budget.iterations + random.randint(0, 2))
            return Amend(id=id_, budget=more)
        case _:
            return None
