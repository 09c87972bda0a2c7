"""Coordinators of the simulation: the real decisions, on folds that may be stale, dying anywhere.

What the product's shell does in `app.py` and `admission.py`, with the same order of effects.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loopwright.breaker import Refuse
from loopwright.budget import Price
from loopwright.control import Amend, Cancel
from loopwright.errors import ConflictError
from loopwright.events import LoopAdmitted
from loopwright.family import Parent
from loopwright.goal import Goal, OpenAI
from loopwright.loop import Loop
from loopwright.results import Result
from loopwright_coordinator.breakers import UP
from loopwright_coordinator.grants import token_digest
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ControlArrived,
    Decision,
    Ignore,
    Input,
    Recovered,
    ResultArrived,
    TakeClaim,
    Timer,
    Woken,
)
from simulation.rules import decide_by
from simulation.world import Message, Process

if TYPE_CHECKING:
    from simulation.cluster import Cluster


@dataclass(slots=True)
class Replica:
    """What one coordinator keeps in memory."""

    folds: dict[str, Loop] = field(default_factory=dict)
    up: dict[str, datetime] = field(default_factory=dict)
    """When it last found a dependency to be up."""


@dataclass(slots=True)
class Coordinators:
    """Some replicas; any of them may take any message."""

    cluster: Cluster
    replicas: list[Replica]

    def any(self) -> Replica:
        """Whoever takes the next message."""
        return self.cluster.world.random.choice(self.replicas)

    def pause(self) -> float:
        """Seconds between two effects."""
        return self.cluster.world.random.expovariate(200)

    def settle(
        self, loop_id: str, received: Input, at_least: int | None = None
    ) -> Generator[float, None, bool]:
        """Decide until the decision stands; False where there is no such loop."""
        cluster, replica = self.cluster, self.any()
        while True:
            yield self.pause()
            loop = cluster.log.fold(loop_id, replica.folds, at_least=at_least)
            if loop is None:
                return False
            if isinstance(received, Begin) and self._orphaned(loop, replica):
                received = ControlArrived(Cancel(id=f"{loop.id}-orphan", reason="its parent ended"))
            token, now = cluster.nonce("token"), cluster.world.now
            down = self._down(loop.goal, replica)
            decision = decide_by(cluster.rules, loop, received, now, token, down)
            yield self.pause()
            match decision:
                case TakeClaim():
                    received = self._took_claim(loop_id, decision)
                    continue
                case Ignore():
                    return True
                case Arm():
                    self._arm(loop_id, decision.timer)
                case Append():
                    if decision.timer is not None:
                        self._arm(loop_id, decision.timer)
                        yield self.pause()
                    try:
                        cluster.log.append(loop, loop_id, decision.data, replica.folds, token)
                    except ConflictError:
                        replica.folds.pop(loop_id, None)
                        continue
            back = yield from self._after(loop, decision)
            if back is None:
                return True
            received = Recovered(back)

    def _orphaned(self, loop: Loop, replica: Replica) -> bool:
        """Whether a loop must not begin: the one that started it has ended."""
        if loop.parent is None or not self.cluster.rules.read_the_parent:
            return False
        parent = self.cluster.log.fold(loop.parent.loop, replica.folds)
        return parent is not None and parent.ended is not None

    def _down(self, goal: Goal, replica: Replica) -> Mapping[str, Refuse]:
        breakers = self.cluster.breakers
        return UP if breakers is None else breakers.down(goal, replica.up)

    def _after(self, loop: Loop, decision: Decision) -> Generator[float, None, str | None]:
        """What a decision means to the breakers: a probe that is over, a wait that is over."""
        breakers = self.cluster.breakers
        if breakers is None or not isinstance(decision, Append):
            return None
        yield from breakers.released(loop, decision.data)
        return breakers.back(decision.data)

    def _took_claim(self, loop_id: str, decision: TakeClaim) -> Woken:
        grant = decision.grant
        key = f"{grant.role}.{loop_id}.{grant.iteration}.{grant.attempt}"
        won = self.cluster.claim(key, "coordinator") == "coordinator"
        return Woken(claim_won=won or not self.cluster.rules.ask_the_claim)

    def _arm(self, loop_id: str, timer: Timer) -> None:
        cluster = self.cluster
        if cluster.rules.arm_timers:
            cluster.world.at(timer.at, lambda: cluster.timers.put(loop_id, None))

    def admit(
        self,
        loop_id: str,
        goal: Goal,
        deadline: datetime,
        parent: Parent | None = None,
        *,
        compare: bool = True,
    ) -> None:
        """Append the first event; ConflictError where another replica was first."""
        admitted = LoopAdmitted(
            tenant="default",
            goal=goal,
            goal_digest=goal.digest(),
            deadline=deadline,
            price=price_of(goal),
            prices=prices_of(goal),
            parent=parent,
        )
        folds = self.any().folds
        self.cluster.log.append(None, loop_id, admitted, folds, "", compare=compare)

    def on_goal(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """Lease, admit, begin."""
        goal: Goal = message.body
        cluster, loop_id = self.cluster, message.subject
        yield self.pause()
        if not cluster.log.stored.get(loop_id):
            if cluster.tenants is not None:
                leased = yield from cluster.tenants.admit(loop_id, goal)
                if not leased:
                    return
            deadline = cluster.world.now + timedelta(seconds=goal.budget.time)
            try:
                self.admit(loop_id, goal, deadline)
            except ConflictError:
                return
        yield from self._answered(self.settle(loop_id, Begin()), ack)

    def on_result(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """A worker's word."""
        result: Result = message.body
        digest = token_digest(message.token)
        if not self.cluster.rules.fence_by_token:
            loop = self.cluster.log.fold(result.loop, {})
            if loop is not None and loop.open is not None:
                digest = loop.open.grant.token_digest
                result = result.model_copy(update={"grant_seq": loop.open.seq})
        received = ResultArrived(result, digest)
        yield from self._answered(self.settle(result.loop, received, result.grant_seq), ack)

    def on_control(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """A person's word; what an amendment adds is leased first."""
        tenants = self.cluster.tenants
        if tenants is not None and isinstance(message.body, Amend):
            loop = self.cluster.log.fold(message.subject, {})
            if loop is not None and loop.ended is None:
                covered = yield from tenants.extend(loop, message.body)
                if not covered:
                    ack()
                    return
        yield from self._answered(self.settle(message.subject, ControlArrived(message.body)), ack)

    def on_timer(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """A timer only says: look again."""
        yield from self._answered(self.settle(message.subject, Woken()), ack)

    def on_breaker(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """A breaker has closed: those who wait for it go on."""
        log = self.cluster.log
        for loop_id in list(log.stored):
            loop = log.fold(loop_id, {})
            if loop is not None and loop.held and loop.held.dependency == message.subject:
                yield from self.settle(loop_id, Recovered(message.subject))
        yield self.pause()
        ack()

    def _answered(self, settling: Generator[float, None, bool], ack: Callable[[], None]) -> Process:
        """Acknowledge once all that follows is stored."""
        if (yield from settling):
            yield self.pause()
            ack()


def price_of(goal: Goal) -> Price | None:
    """Of the model that plans."""
    return goal.planner.price if isinstance(goal.planner, OpenAI) else None


def prices_of(goal: Goal) -> dict[str, Price]:
    """Of the other models, by model."""
    others = goal.planner.other_models if isinstance(goal.planner, OpenAI) else ()
    return {item.model: item.price for item in others if item.price}
