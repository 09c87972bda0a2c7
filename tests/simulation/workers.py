"""Workers of the simulation, around the real claim and breaker rules: quick, slow, lying, dying."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopwright.budget import Amount, Usage
from loopwright.errors import ErrorInfo, ErrorKind
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
from loopwright.spawn import SPAWN_TOOL
from loopwright.subjects import Role
from loopwright.tools import Action
from simulation.outages import Outages, holder_of
from simulation.world import Message, Process

if TYPE_CHECKING:
    from simulation.cluster import Cluster

TOUCH = Action(tool="shell", args={"run": "true"})
PASSED = {n: CheckResult(name=n, status="passed", message="m") for n in ("a", "b")}
FAILED = {n: CheckResult(name=n, status="failed", message="m") for n in ("a", "b")}
ERRORS: tuple[ErrorKind, ...] = (
    "network", "invalid_output", "rate_limited", "internal", "auth", "context_overflow",
)  # fmt: skip
#: Plans that start loops, where a goal allows it.
STARTS: tuple[Action, ...] = tuple(
    Action(
        tool=SPAWN_TOOL,
        args={"pattern": pattern, "children": [{"name": f"c{n}"} for n in range(count)]},
    )
    for pattern, count in (("nested", 1), ("race", 2), ("best_of", 2), ("race", 3))
)


@dataclass(frozen=True, slots=True)
class Worker:
    """Any worker of a role."""

    cluster: Cluster
    role: Role

    def on_request(self, message: Message, _: int, ack: Callable[[], None]) -> Process:
        """Claim the attempt, do the step within its grant, report once."""
        cluster, random = self.cluster, self.cluster.world.random
        grant, loop_id = message.body.data.grant, message.subject
        if cluster.world.now >= grant.deadline:
            ack()
            return
        me = cluster.nonce("worker")
        key = f"{self.role}.{loop_id}.{grant.iteration}.{grant.attempt}"
        holder = cluster.claim(key, me) if cluster.rules.claim_first else me
        if holder is None:
            return
        yield random.expovariate(200)
        if holder != me:
            self._report(message, WorkerLost(), Usage())
            ack()
            return
        gate = cluster.breakers if grant.models else None
        if gate is None:
            usage = self._really_do(message)
            yield self._work_s()
            body = self._body(message)
        else:
            usage, body = yield from self._call(message, gate)
        self._report(message, body, usage)
        yield random.expovariate(200)
        ack()

    def _call(
        self, message: Message, gate: Outages
    ) -> Generator[float, None, tuple[Usage, ResultBody]]:
        """A step that calls a model, if its breaker lets it; how the call ended is reported."""
        grant = message.body.data.grant
        dependency, holder = f"llm:{grant.models[0]}", holder_of(message.subject, grant)
        refused = yield from gate.enter(dependency, holder)
        if refused is not None:
            return Usage(), StepFailed(error=refused)
        yield self.cluster.world.random.expovariate(200)
        gate.begins(dependency, holder, message.seq)
        usage = self._really_do(message)
        yield self._work_s()
        ill = gate.answers()
        body = StepFailed(error=ill) if ill is not None else self._body(message)
        yield from gate.leaves(
            dependency, holder, body.error if isinstance(body, StepFailed) else None
        )
        return usage, body

    def _work_s(self) -> float:
        """Mostly quick; now and then longer than a deadline, with or without heartbeats."""
        random = self.cluster.world.random
        slow = self.cluster.world.chance(0.05)
        return random.uniform(5, 400) if slow else random.expovariate(self.cluster.pace)

    def _really_do(self, message: Message) -> Usage:
        """Spend within the grant, as an honest provider does, and run what is to be run."""
        grant, meters = message.body.data.grant, self.cluster.meters
        run = (message.subject, self.role, grant.iteration, grant.attempt)
        meters.runs[run] = meters.runs.get(run, 0) + 1
        share = self.cluster.world.random.random()
        amount = Amount(
            tokens=int(grant.reserved.tokens * share),
            cost_microusd=int(grant.reserved.cost_microusd * share),
            actions=grant.reserved.actions,
        )
        meters.spend(message.subject, amount)
        return Usage(
            input_tokens=amount.tokens, cost_microusd=amount.cost_microusd, actions=amount.actions
        )

    def _body(self, message: Message) -> ResultBody:
        random, data = self.cluster.world.random, message.body.data
        if random.random() < 0.08:
            kind = random.choice(ERRORS)
            return StepFailed(error=ErrorInfo(kind=kind, message="simulated"))
        match self.role:
            case "planner":
                return PlanProposed(plan=self._plan(data))
            case "executor":
                good = random.random() < 0.8
                status = "succeeded" if good else "failed"
                action = ActionOutcome.model_validate({"tool": "shell", "status": status})
                revision = f"{random.getrandbits(160):040x}"
                outcome = Outcome(revision=revision, succeeded=good, actions=(action,))
                return ExecutionFinished(outcome=outcome)
            case "verifier":
                return VerdictReached(verdict=self._verdict(data.revision))

    def _plan(self, data: Any) -> Plan:
        """Some actions; where loops may be started, half of the time also that."""
        random = self.cluster.world.random
        rule = None if data.grant.models else "work"
        actions = (TOUCH,) * random.randint(0, 2)
        if SPAWN_TOOL in data.grant.tools and random.random() < 0.5:
            actions = (*actions, random.choice(STARTS))
        return Plan(summary="s", actions=actions, rule=rule)

    def _verdict(self, granted: str | None) -> Verdict:
        """Half of the checks pass; now and then it is about something else altogether.

        Only not where nothing was committed yet: the log does not know that revision.
        """
        random, revision = self.cluster.world.random, granted or "0" * 40
        if granted and random.random() < 0.1:
            return Verdict(revision="f" * 40, checks=(PASSED["a"], PASSED["b"]), score=1.0)
        passed = [name for name in ("a", "b") if random.random() < 0.5]
        if len(passed) == 2:
            self.cluster.meters.good.add(revision)
        checks = tuple((PASSED if name in passed else FAILED)[name] for name in ("a", "b"))
        return Verdict(revision=revision, checks=checks, score=0.0)

    def _report(self, message: Message, body: ResultBody, usage: Usage) -> None:
        grant, now = message.body.data.grant, self.cluster.world.now
        result = Result(
            loop=message.subject,
            role=self.role,
            iteration=grant.iteration,
            attempt=grant.attempt,
            grant_seq=message.seq,
            worker="w",
            finished_at=now,
            usage=usage,
            body=body,
        )
        self.cluster.meters.reported.setdefault(message.seq, now)
        self.cluster.results.put(message.subject, result, token=message.token)
