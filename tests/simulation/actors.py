"""Coordinators and workers of the simulation, around the real decisions, fold and claim rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from loopwright.budget import Amount, Usage
from loopwright.chain import GENESIS, LoopEvent, digest, event_type, schema_uri
from loopwright.errors import BusUnavailableError, ConflictError, ErrorInfo, ErrorKind
from loopwright.events import EventData, LoopAdmitted, LoopEnded
from loopwright.goal import Goal, OpenAI
from loopwright.loop import Loop, evolve
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    Result,
    ResultBody,
    StepFailed,
    VerdictReached,
    WorkerLost,
)
from loopwright.subjects import REQUEST_KIND, ROLES, Role
from loopwright.tools import Action
from loopwright_coordinator.grants import token_digest
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ControlArrived,
    Ignore,
    Input,
    ResultArrived,
    TakeClaim,
    Timer,
    Woken,
)
from simulation.rules import Rules, decide_by
from simulation.world import Message, Process, Queue, Subjects, World

TOUCH = Action(tool="shell", args={"run": "true"})
PASSED = {n: CheckResult(name=n, status="passed", message="m") for n in ("a", "b")}
FAILED = {n: CheckResult(name=n, status="failed", message="m") for n in ("a", "b")}
ERRORS: tuple[ErrorKind, ...] = (
    "network", "invalid_output", "rate_limited", "internal", "auth", "context_overflow",
)  # fmt: skip
#: A delivery that is not acknowledged comes again after this, in seconds.
ACK_WAIT_S = 10.0


@dataclass(slots=True)
class Meters:
    """What really happened outside, however the log tells it."""

    spent: dict[str, Amount] = field(default_factory=dict)
    runs: dict[tuple[str, Role, int, int], int] = field(default_factory=dict)
    reported: dict[int, datetime] = field(default_factory=dict)
    """When the result of a grant, by its sequence, was stored by the bus."""
    good: set[str] = field(default_factory=set)
    """Revisions of which a verifier really found every check to pass."""

    def spend(self, loop: str, amount: Amount) -> None:
        """A provider was paid, an action was run."""
        self.spent[loop] = self.spent.get(loop, Amount()) + amount


@dataclass(slots=True)
class Cluster:
    """Some coordinators and workers on one bus."""

    world: World
    rules: Rules = field(default_factory=Rules)
    coordinators: int = 2
    loops: Subjects = field(init=False)
    claims: Subjects = field(init=False)
    caches: list[dict[str, Loop]] = field(init=False)
    goals: Queue = field(init=False)
    results: Queue = field(init=False)
    controls: Queue = field(init=False)
    timers: Queue = field(init=False)
    requests: dict[str, Queue] = field(init=False)
    meters: Meters = field(default_factory=Meters)
    on_append: Callable[[str, LoopEvent, int], None] = lambda *_: None
    nonces: int = 0
    known: dict[tuple[str, str, int], Loop] = field(default_factory=dict)
    """What a fold came to: the same head, event and sequence give the same loop."""

    def __post_init__(self) -> None:
        world = self.world
        self.loops, self.claims = Subjects(world), Subjects(world)
        self.caches = [{} for _ in range(self.coordinators)]
        last = self.rules.ack_last
        self.goals = Queue(world, self._on_goal, ACK_WAIT_S, ack_last=last)
        self.results = Queue(world, self._on_result, ACK_WAIT_S, ack_last=last)
        self.controls = Queue(world, self._on_control, ACK_WAIT_S, ack_last=last)
        self.timers = Queue(world, self._on_timer, ACK_WAIT_S, ack_last=last)
        self.requests = {
            REQUEST_KIND[role]: Queue(world, self._worker(role), ACK_WAIT_S) for role in ROLES
        }

    # The log

    def after(self, loop: Loop | None, event: LoopEvent, seq: int) -> Loop:
        """The fold of one more event, which is made once whoever asks."""
        key = (loop.head if loop else "", event.id, seq)
        known = self.known.get(key)
        if known is None:
            known = evolve(loop, event, seq=seq, body_digest=digest(event.id.encode()))
            self.known[key] = known
        return known

    def fold(self, loop_id: str, cache: dict[str, Loop], *, at_least: int | None) -> Loop | None:
        """The loop from a cache that may be stale, or read to the tip."""
        known = cache.get(loop_id)
        if known is not None and at_least is not None and known.tip >= at_least:
            return known
        if known is not None and not self.rules.read_to_the_tip:
            return known
        loop = known
        for seq, event in self.loops.stored.get(loop_id, ())[known.n + 1 if known else 0 :]:
            loop = self.after(loop, event, seq)
        if loop is not None:
            cache[loop_id] = loop
        return loop

    def append(
        self, loop: Loop | None, loop_id: str, data: EventData, cache: dict[str, Loop], token: str
    ) -> None:
        """Compare-and-set on the fold's tip; an ambiguous answer is read back."""
        if not self.rules.charge_unheard:
            data = _uncharged(data)
        self.nonces += 1
        event = LoopEvent(
            id=f"{self.nonces}",
            source="/simulation",
            type=event_type(data.kind),
            subject=loop_id,
            time=self.world.now,
            dataschema=schema_uri("event"),
            n=loop.n + 1 if loop else 0,
            prev=loop.head if loop else GENESIS,
            data=data,
        )
        expected = (loop.tip if loop else 0) if self.rules.compare_and_set else None
        try:
            seq = self.loops.publish(loop_id, event, expected)
        except BusUnavailableError:
            cache.pop(loop_id, None)
            stored = self.loops.stored.get(loop_id, [])
            if not stored or stored[-1][1].id != event.id:
                raise ConflictError("not stored") from None
            seq = stored[-1][0]
        if expected is not None:
            cache[loop_id] = self.after(loop, event, seq)
        self.on_append(loop_id, event, seq)
        queue = self.requests.get(data.kind)
        if queue is not None:
            queue.put(loop_id, event, seq=seq, token=token)

    # Coordinators

    def _settle(
        self, loop_id: str, received: Input, ack: Callable[[], None], at_least: int | None
    ) -> Process:
        cache = self.world.random.choice(self.caches)
        while True:
            yield self.world.random.expovariate(200)
            loop = self.fold(loop_id, cache, at_least=at_least)
            if loop is None:
                return
            self.nonces += 1
            token = f"token-{self.nonces}"
            decision = decide_by(self.rules, loop, received, self.world.now, token)
            yield self.world.random.expovariate(200)
            match decision:
                case TakeClaim():
                    grant = decision.grant
                    key = f"{grant.role}.{loop_id}.{grant.iteration}.{grant.attempt}"
                    won = self._claim(key, "coordinator") == "coordinator"
                    received = Woken(claim_won=won or not self.rules.ask_the_claim)
                    continue
                case Ignore():
                    pass
                case Arm():
                    self._arm(loop_id, decision.timer)
                case Append():
                    if decision.timer is not None:
                        self._arm(loop_id, decision.timer)
                        yield self.world.random.expovariate(200)
                    try:
                        self.append(loop, loop_id, decision.data, cache, token)
                    except ConflictError:
                        cache.pop(loop_id, None)
                        continue
            yield self.world.random.expovariate(200)
            ack()
            return

    def _arm(self, loop_id: str, timer: Timer) -> None:
        if self.rules.arm_timers:
            self.world.at(timer.at, lambda: self.timers.put(loop_id, None))

    def _claim(self, key: str, owner: str) -> str | None:
        """Who holds the claim after trying to take it; None if that is unknown."""
        try:
            self.claims.publish(key, owner, 0)
        except ConflictError:
            return str(self.claims.stored[key][0][1])
        except BusUnavailableError:
            held = self.claims.stored.get(key)
            return str(held[0][1]) if held else None
        return owner

    def _on_goal(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        goal: Goal = message.body
        yield self.world.random.expovariate(200)
        cache = self.world.random.choice(self.caches)
        if not self.loops.stored.get(message.subject):
            admitted = LoopAdmitted(
                tenant="default",
                goal=goal,
                goal_digest=goal.digest(),
                deadline=self.world.now + timedelta(seconds=goal.budget.time),
                price=goal.planner.price if isinstance(goal.planner, OpenAI) else None,
            )
            try:
                self.append(None, message.subject, admitted, cache, "")
            except ConflictError:
                return
        yield from self._settle(message.subject, Begin(), ack, None)

    def _on_result(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        result: Result = message.body
        digest_ = token_digest(message.token)
        if not self.rules.fence_by_token:
            loop = self.fold(result.loop, {}, at_least=None)
            if loop is not None and loop.open is not None:
                digest_ = loop.open.grant.token_digest
                result = result.model_copy(update={"grant_seq": loop.open.seq})
        received = ResultArrived(result, digest_)
        yield from self._settle(result.loop, received, ack, result.grant_seq)

    def _on_control(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        yield from self._settle(message.subject, ControlArrived(message.body), ack, None)

    def _on_timer(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        yield from self._settle(message.subject, Woken(), ack, None)

    # Workers

    def _worker(self, role: Role) -> Callable[[Message, int, Callable[[], None]], Process]:
        def handle(message: Message, deliveries: int, ack: Callable[[], None]) -> Process:
            grant, loop_id = message.body.data.grant, message.subject
            if self.world.now >= grant.deadline:
                ack()
                return
            self.nonces += 1
            me = f"worker-{self.nonces}"
            key = f"{role}.{loop_id}.{grant.iteration}.{grant.attempt}"
            holder = self._claim(key, me) if self.rules.claim_first else me
            if holder is None:
                return
            yield self.world.random.expovariate(200)
            if holder != me:
                self._report(message, role, WorkerLost(), Usage())
                ack()
                return
            usage = self._really_do(message, role)
            yield self._work_s()
            self._report(message, role, self._body(message, role), usage)
            yield self.world.random.expovariate(200)
            ack()

        return handle

    def _work_s(self) -> float:
        """Mostly quick; now and then longer than a deadline, with or without heartbeats."""
        slow = self.world.chance(0.05)
        return self.world.random.uniform(5, 400) if slow else self.world.random.expovariate(2)

    def _really_do(self, message: Message, role: Role) -> Usage:
        """Spend within the grant, as an honest provider does, and run what is to be run."""
        grant, loop_id = message.body.data.grant, message.subject
        run = (loop_id, role, grant.iteration, grant.attempt)
        self.meters.runs[run] = self.meters.runs.get(run, 0) + 1
        share = self.world.random.random()
        cost = int(grant.reserved.cost_microusd * share)
        actions = grant.reserved.actions
        amount = Amount(
            tokens=int(grant.reserved.tokens * share), cost_microusd=cost, actions=actions
        )
        self.meters.spend(loop_id, amount)
        return Usage(input_tokens=amount.tokens, cost_microusd=cost, actions=actions)

    def _body(self, message: Message, role: Role) -> ResultBody:
        chance = self.world.random.random()
        if chance < 0.08:
            kind = self.world.random.choice(ERRORS)
            return StepFailed(error=ErrorInfo(kind=kind, message="simulated"))
        data: Any = message.body.data
        match role:
            case "planner":
                rule = None if data.grant.models else "work"
                actions = (TOUCH,) * self.world.random.randint(0, 2)
                return PlanProposed(plan=Plan(summary="s", actions=actions, rule=rule))
            case "executor":
                good = self.world.random.random() < 0.8
                status = "succeeded" if good else "failed"
                action = ActionOutcome.model_validate({"tool": "shell", "status": status})
                revision = f"{self.world.random.getrandbits(160):040x}"
                outcome = Outcome(revision=revision, succeeded=good, actions=(action,))
                return ExecutionFinished(outcome=outcome)
            case "verifier":
                return VerdictReached(verdict=self._verdict(data.revision))

    def _verdict(self, granted: str | None) -> Verdict:
        """Half of the checks pass; now and then it is about something else altogether.

        Only not where nothing was committed yet: the log does not know that revision.
        """
        revision = granted or "0" * 40
        if granted and self.world.random.random() < 0.1:
            return Verdict(revision="f" * 40, checks=(PASSED["a"], PASSED["b"]), score=1.0)
        passed = [name for name in ("a", "b") if self.world.random.random() < 0.5]
        if len(passed) == 2:
            self.meters.good.add(revision)
        checks = tuple((PASSED if name in passed else FAILED)[name] for name in ("a", "b"))
        return Verdict(revision=revision, checks=checks, score=0.0)

    def _report(self, message: Message, role: Role, body: ResultBody, usage: Usage) -> None:
        grant = message.body.data.grant
        result = Result(
            loop=message.subject,
            role=role,
            iteration=grant.iteration,
            attempt=grant.attempt,
            grant_seq=message.seq,
            worker="w",
            finished_at=self.world.now,
            usage=usage,
            body=body,
        )
        self.meters.reported.setdefault(message.seq, self.world.now)
        self.results.put(message.subject, result, token=message.token)


def _uncharged(data: EventData) -> EventData:
    """The event with what an unheard attempt may have spent forgotten: a mutant's log."""
    settles = data.settles
    if settles is None or settles.status not in ("worker_lost", "expired", "ended"):
        return data
    forgotten: dict[str, Any] = {"settles": settles.model_copy(update={"charged": Amount()})}
    if isinstance(data, LoopEnded):
        forgotten["spent"] = Amount()
    return data.model_copy(update=forgotten)
