"""What must hold of a world's logs, and of what really happened outside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from loopwright.audit import Entry, audit
from loopwright.budget import NOTHING, Amount
from loopwright.chain import LoopEvent, digest
from loopwright.events import ExecutionRequested, PlanRequested, VerificationRequested
from loopwright.loop import Loop
from simulation.cluster import Cluster
from simulation.outages import Outages

#: By then every redelivery has brought a stored result to a coordinator that lives.
HEALED = timedelta(seconds=120)


def log_violations(cluster: Cluster) -> list[str]:
    """What the independent audit finds: caps at every prefix, settled once, chain, approvals."""
    return [
        f"audit: {sentence}"
        for stored in cluster.log.stored.values()
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


def waiting_violations(
    breakers: Outages, before: Loop, loop: Loop, event: LoopEvent
) -> Iterator[str]:
    """Who waits for a dependency holds nothing, is charged nothing, and goes on when it is back."""
    name = before.held.dependency if before.held is not None else None
    if name is not None:
        if before.open is not None or event.data.settles is not None:
            yield f"breaker: event {event.n}: {loop.id} waits for {name} with an open grant"
        began, closed = before.updated_at, breakers.closed_since(name)
        leaves = loop.held is None or loop.held.dependency != name
        if leaves and closed is not None and event.time - max(began, closed) > HEALED:
            yield f"breaker: {loop.id} waits for {name}, which is back since {closed}"
    settles = event.data.settles
    if settles is None or settles.error is None or settles.error.kind != "dependency_down":
        return
    if settles.charged != NOTHING:
        yield f"breaker: event {event.n}: a refused call was charged {settles.charged}"


def outside_violations(cluster: Cluster, folds: dict[str, Loop]) -> list[str]:
    """What really happened is within the caps, and nothing was done twice."""
    found = list(cluster.meters.violations)
    found += [f"twice: {run} was done {n} times" for run, n in cluster.meters.runs.items() if n > 1]
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
    if cluster.tenants is not None:
        found += cluster.tenants.in_the_end(list(folds.values()))
    return found
