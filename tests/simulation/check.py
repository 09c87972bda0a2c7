"""What must hold in every simulated world, at every step and in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from loopwright.audit import Entry, audit
from loopwright.budget import Amount
from loopwright.chain import LoopEvent, digest
from loopwright.errors import UnreadableError
from loopwright.events import ExecutionRequested, PlanRequested, VerificationRequested
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.testing import EPOCH, model_goal, playbook_goal
from simulation.actors import Cluster
from simulation.people import attend, speak
from simulation.rules import Rules
from simulation.world import World

#: By then every redelivery has brought a stored result to a coordinator that lives.
HEALED = timedelta(seconds=120)
#: The steps after which a world is taken to run for ever.
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
    states: set[tuple[str, str]] = field(default_factory=set)
    """Changes of state that happened."""


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


def run(seed: int, rules: Rules | None = None) -> Report:
    """Simulate one world and check it."""
    world, report, folds, ended = World(seed), Report(seed), dict[str, Loop](), set[str]()
    cluster = Cluster(world, rules or Rules())

    def on_append(loop_id: str, event: LoopEvent, seq: int) -> None:
        report.events += 1
        before = folds.get(loop_id)
        try:
            loop = cluster.after(before, event, seq)
        except UnreadableError as error:
            report.violations.append(f"log: {error}")
            return
        folds[loop_id] = loop
        if loop.ended is not None:
            ended.add(loop_id)
        report.states.add((before.state if before else "", loop.state))
        report.violations += pause_violations(before, event)
        report.violations += lost_result_violations(cluster, event)

    cluster.on_append = on_append
    ids = begin(cluster, folds)

    def all_ended() -> bool:
        return len(ended) == len(ids) or bool(report.violations)

    if not world.run(all_ended, STEPS) and not report.violations:
        states = {i: folds[i].state if i in folds else "lost" for i in ids}
        report.violations.append(f"liveness: not every loop ended: {states}")
    world.run(lambda: world.now > EPOCH + timedelta(hours=3), STEPS)
    report.violations += log_violations(cluster) + outside_violations(cluster, folds)
    report.crashes, report.conflicts = world.crashes, world.conflicts
    report.outcomes = [str(loop.ended) for loop in folds.values()]
    return report


def begin(cluster: Cluster, folds: dict[str, Loop]) -> tuple[str, ...]:
    """Submit goals, with people who look at `folds`; the loops' ids.

    Loops do not touch each other, but they share caches and queues: one world in ten has two.
    """
    ids = IDS if cluster.world.seed % 10 == 0 else IDS[:1]
    for loop_id in ids:
        cluster.goals.put(loop_id, cluster.world.random.choice(GOALS))
        speak(cluster, loop_id)
        attend(cluster, loop_id, folds)
    return ids


def log_violations(cluster: Cluster) -> list[str]:
    """What the independent audit finds: caps at every prefix, settled once, chain, approvals."""
    return [
        f"audit: {sentence}"
        for stored in cluster.loops.stored.values()
        for sentence in audit(
            [Entry(event, seq, digest(event.id.encode())) for seq, event in stored]
        )
    ]


def pause_violations(before: Loop | None, event: LoopEvent) -> list[str]:
    """Nothing is granted to a paused loop but by its resume."""
    paused = before is not None and before.state == "paused"
    granting = isinstance(event.data, PlanRequested | ExecutionRequested | VerificationRequested)
    resumed = event.data.control is not None and event.data.control.kind == "resume"
    return [f"pause: event {event.n} grants a step"] if paused and granting and not resumed else []


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
        real, cap = cluster.meters.spent.get(loop_id, Amount()), loop.budget
        if loop.ended == "achieved" and loop.best and loop.best.revision not in cluster.meters.good:
            found.append(f"gate: {loop.best.revision} is achieved, no verifier found it good")
        if cap.tokens is not None and real.tokens > cap.tokens:
            found.append(f"meter: {real.tokens} tokens were spent, the cap is {cap.tokens}")
        if cap.cost_microusd is not None and real.cost_microusd > cap.cost_microusd:
            found.append(f"meter: {real.cost_microusd} were spent, the cap is {cap.cost_microusd}")
        if cap.actions is not None and real.actions > cap.actions:
            found.append(f"meter: {real.actions} actions were run, the cap is {cap.actions}")
        if real.tokens > loop.spent.tokens and loop.ended is not None:
            found.append(f"ledger: {real.tokens} tokens were spent, {loop.spent.tokens} are booked")
    return found
