"""One simulated world: begun, run to its end, checked at every step and in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from loopwright.budget import NOTHING, Amount
from loopwright.chain import LoopEvent
from loopwright.errors import UnreadableError
from loopwright.loop import Loop
from loopwright.testing import EPOCH
from simulation.cluster import Cluster
from simulation.invariants import (
    log_violations,
    lost_result_violations,
    outside_violations,
    pause_violations,
    waiting_violations,
)
from simulation.people import attend, speak
from simulation.rules import Rules
from simulation.scenes import Scene, scene
from simulation.tree import Tree
from simulation.world import World

#: The steps after which a world is taken to run for ever.
STEPS = 60_000
IDS = tuple(f"01JQZZZZZZZZZZZZZZZZZZZZZ{number}" for number in range(1, 5))


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    violations: list[str] = field(default_factory=list)
    events: int = 0
    crashes: int = 0
    conflicts: int = 0
    outcomes: list[str] = field(default_factory=list)
    states: set[tuple[str, str]] = field(default_factory=set)
    """Changes of state that happened."""
    counts: Counter[str] = field(default_factory=Counter)
    """What happened beside loops: children, probes, leases."""


@dataclass(slots=True)
class Watch:
    """Looks at every event as it is stored."""

    report: Report
    cluster: Cluster
    scene: Scene
    ids: tuple[str, ...]
    folds: dict[str, Loop] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    used: Amount = NOTHING
    """What all loops were charged and hold."""
    tree: Tree = field(init=False)

    def __post_init__(self) -> None:
        self.tree = Tree(self.cluster.log, self.folds)

    def on_append(self, loop_id: str, event: LoopEvent, seq: int) -> None:
        """Fold the event and check what it may break."""
        report, before = self.report, self.folds.get(loop_id)
        report.events += 1
        try:
            loop = self.cluster.log.after(before, event, seq)
        except UnreadableError as error:
            report.violations.append(f"log: {error}")
            return
        self.folds[loop_id] = loop
        if loop.ended is not None:
            self.ended.add(loop_id)
        if before is None and loop.parent is not None:
            self._met(loop_id)
        report.states.add((before.state if before else "", loop.state))
        report.violations += self._broken(before, loop, event)

    def _broken(self, before: Loop | None, loop: Loop, event: LoopEvent) -> Iterator[str]:
        yield from pause_violations(before, event)
        yield from lost_result_violations(self.cluster, event)
        if self.scene.families:
            yield from self.tree.add(before, loop, event)
        if self.cluster.breakers is not None and before is not None:
            yield from waiting_violations(self.cluster.breakers, before, loop, event)
        if self.cluster.tenants is not None:
            was = before.spent + before.reserved if before is not None else NOTHING
            self.used = _changed(self.used, was, loop.spent + loop.reserved)
            yield from self.cluster.tenants.violations(self.used)

    def _met(self, child: str) -> None:
        """People speak to loops that other loops start, too; not all of them."""
        self.report.counts["children"] += 1
        if self.cluster.world.random.random() < 0.3:
            speak(self.cluster, child)
            attend(self.cluster, child, self.folds)

    def all_ended(self) -> bool:
        """Whether every loop has ended that was, or is to be, admitted."""
        if len(self.ended) != len(self.folds):
            return False
        if len(self.folds) >= len(self.ids):
            return True
        tenants = self.cluster.tenants
        refused = tenants.refused if tenants is not None else set()
        return all(i in self.folds or i in refused for i in self.ids)


def _changed(total: Amount, was: Amount, now: Amount) -> Amount:
    return Amount(
        tokens=total.tokens - was.tokens + now.tokens,
        cost_microusd=total.cost_microusd - was.cost_microusd + now.cost_microusd,
        actions=total.actions - was.actions + now.actions,
    )


def run(seed: int, rules: Rules | None = None) -> Report:
    """Simulate one world and check it."""
    report, watch = Report(seed), begin(seed, rules)
    watch.report, world, folds = report, watch.cluster.world, watch.folds

    def over() -> bool:
        return bool(report.violations) or watch.all_ended()

    if not world.run(over, STEPS) and not report.violations:
        states = {i: folds[i].state if i in folds else "lost" for i in {*watch.ids, *folds}}
        report.violations.append(f"liveness: not every loop ended: {states}")
    world.run(lambda: world.now > EPOCH + timedelta(hours=3), STEPS)
    if not report.violations and not watch.all_ended():
        report.violations.append("liveness: a loop began when all had ended, and did not end")
    report.violations += log_violations(watch.cluster)
    report.violations += outside_violations(watch.cluster, folds)
    report.crashes, report.conflicts = world.crashes, world.conflicts
    report.outcomes = [str(loop.ended) for loop in folds.values()]
    report.counts += watch.cluster.meters.counts
    return report


def begin(seed: int, rules: Rules | None = None) -> Watch:
    """A world with its goals submitted, and people who look at its loops."""
    world = World(seed)
    what = scene(world)
    cluster = Cluster(
        world,
        rules or Rules(),
        quota=what.quota,
        outages=what.outages,
        pace=what.pace,
        cancels=what.cancels,
    )
    watch = Watch(Report(seed), cluster, what, IDS[: len(what.goals)])
    cluster.on_append = watch.on_append
    for number, (loop_id, goal) in enumerate(zip(watch.ids, what.goals, strict=True)):
        late = 30.0 * number if what.outages else 0.0  # some are to find the model down already
        world.after(late, partial(cluster.goals.put, loop_id, goal))
        speak(cluster, loop_id)
        attend(cluster, loop_id, watch.folds)
    return watch
