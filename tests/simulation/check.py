"""What must hold in every simulated world, at every step and in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from loopwright.budget import Amount
from loopwright.chain import LoopEvent, digest
from loopwright.errors import UnreadableError
from loopwright.goal import Goal
from loopwright.loop import Loop, evolve
from loopwright.testing import EPOCH, model_goal, playbook_goal
from simulation.actors import Cluster, Rules
from simulation.world import World

#: By then every redelivery has brought a stored result to a coordinator that lives.
HEALED = timedelta(seconds=120)
#: Loops of one world, and the events after which it is taken to run for ever.
LOOPS = 2
STEPS = 20_000
IDS = ("01JQZZZZZZZZZZZZZZZZZZZZZ1", "01JQZZZZZZZZZZZZZZZZZZZZZ2")


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    violations: list[str] = field(default_factory=list)
    events: int = 0
    crashes: int = 0
    conflicts: int = 0
    outcomes: list[str] = field(default_factory=list)


def goals(world: World) -> list[Goal]:
    """Goals small enough that budgets bind."""
    choices = [
        playbook_goal(budget={"iterations": 3, "actions": 4, "time": 1500}),
        playbook_goal(budget={"iterations": 2, "time": 300}, limits={"attempts": 2}),
        model_goal(budget={"iterations": 6, "tokens": 6000, "usd": "0.008", "time": 2500}),
        model_goal(budget={"iterations": 4, "tokens": 3500, "time": 900}),
    ]
    return [world.random.choice(choices) for _ in range(LOOPS)]


def run(seed: int, rules: Rules | None = None) -> Report:
    """Simulate one world and check it."""
    world = World(seed)
    cluster = Cluster(world, rules or Rules())
    report = Report(seed)
    folds: dict[str, Loop] = {}

    def on_append(loop_id: str, event: LoopEvent, seq: int) -> None:
        report.events += 1
        try:
            loop = evolve(folds.get(loop_id), event, seq=seq, body_digest=digest(event.id.encode()))
        except UnreadableError as error:
            report.violations.append(f"log: {error}")
            return
        folds[loop_id] = loop
        report.violations += budget_violations(loop) + lost_result_violations(cluster, event)

    cluster.on_append = on_append
    for loop_id, goal in zip(IDS, goals(world), strict=True):
        cluster.goals.put(loop_id, goal)
        if world.random.random() < 0.2:
            cancel = partial(cluster.controls.put, loop_id, None)
            world.after(world.random.uniform(1, 60), cancel)

    def all_ended() -> bool:
        return bool(report.violations) or all(
            (loop := folds.get(loop_id)) is not None and loop.ended is not None for loop_id in IDS
        )

    if not world.run(all_ended, STEPS) and not report.violations:
        states = {i: folds[i].state if i in folds else "lost" for i in IDS}
        report.violations.append(f"liveness: not every loop ended: {states}")
    world.run(lambda: world.now > EPOCH + timedelta(hours=3), STEPS)
    report.violations += outside_violations(cluster, folds)
    report.crashes, report.conflicts = world.crashes, world.conflicts
    report.outcomes = [str(loop.ended) for loop in folds.values()]
    return report


def budget_violations(loop: Loop) -> list[str]:
    """Spent and reserved stay within every cap, after every event."""
    used, budget = loop.spent + loop.reserved, loop.goal.budget
    caps = {
        "tokens": (used.tokens, budget.tokens),
        "cost": (used.cost_microusd, budget.cost_microusd),
        "actions": (used.actions, budget.actions),
        "iterations": (loop.iteration, budget.iterations),
    }
    return [
        f"budget: {name} at {value} of {cap} after event {loop.n}"
        for name, (value, cap) in caps.items()
        if cap is not None and value > cap
    ]


def lost_result_violations(cluster: Cluster, event: LoopEvent) -> list[str]:
    """A result that the bus had long before the deadline is never taken for missing."""
    settles = event.data.settles
    if settles is None or settles.status != "expired":
        return []
    at = cluster.meters.reported.get(settles.grant_seq)
    if at is None or cluster.world.now - at < HEALED:
        return []
    return [f"lost: the result of grant {settles.grant_seq} came at {at}, it is called expired"]


def outside_violations(cluster: Cluster, folds: dict[str, Loop]) -> list[str]:
    """What really happened is within the caps, and nothing was done twice."""
    found = [f"twice: {run} was done {n} times" for run, n in cluster.meters.runs.items() if n > 1]
    for loop_id, loop in folds.items():
        real, cap = cluster.meters.spent.get(loop_id, Amount()), loop.goal.budget
        if cap.tokens is not None and real.tokens > cap.tokens:
            found.append(f"meter: {real.tokens} tokens were spent, the cap is {cap.tokens}")
        if cap.cost_microusd is not None and real.cost_microusd > cap.cost_microusd:
            found.append(f"meter: {real.cost_microusd} were spent, the cap is {cap.cost_microusd}")
        if cap.actions is not None and real.actions > cap.actions:
            found.append(f"meter: {real.actions} actions were run, the cap is {cap.actions}")
        if real.tokens > loop.spent.tokens and loop.ended is not None:
            found.append(f"ledger: {real.tokens} tokens were spent, {loop.spent.tokens} are booked")
    return found
