"""`python -m greedy --loops N`: a model that never finishes and always asks for the most.

Each loop goes through the real `decide` and `evolve`. Every call uses all that was reserved for
it, every plan has as many actions as it may, no check ever passes, and now and then a worker is
lost, so that its attempt is charged in full. Budgets alone end these loops.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, Literal

from loopwright.audit import Entry, audit
from loopwright.budget import Usage
from loopwright.chain import digest
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    ResultBody,
    VerdictReached,
    WorkerLost,
)
from loopwright.subjects import ROLES
from loopwright.testing import MemoryLog, model_goal
from loopwright.tools import Action
from loopwright_coordinator.budgets import MIN_CALL_TOKENS
from loopwright_coordinator.inputs import TakeClaim, Woken
from table import Table

#: The most actions that a plan can have.
MOST = 200
#: A hold is looked at again when it has surely expired, in seconds.
DAY_S = 86_400.0
#: How often a worker is lost, or silent until its deadline.
LOST = 0.1
#: A step that was lost is granted again after a hold: its grant, the hold, the second grant.
MOST_EVENTS_A_STEP = 3
#: loop_admitted, a hold for more budget, loop_ended.
ENDS = 3


@dataclass
class Report:
    """What a run came to."""

    seed: int
    loops: int = 0
    events: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def goal(chance: random.Random) -> Goal:
    """A goal whose iterations, tokens, dollars or actions will be what ends it."""
    budget: dict[str, Any] = {
        "iterations": chance.randint(1, 12),
        "tokens": chance.choice((None, chance.randint(600, 20_000))),
        "usd": f"{chance.randint(1, 30) / 1000:.6f}",
        "actions": chance.choice((None, chance.randint(1, 3 * MOST))),
        "time": "300d",
    }
    wait = chance.choice(("stop", "hold"))
    return model_goal(budget=budget, on_exhausted=wait, stuck={"patience": 1000})


@dataclass
class Greedy:
    """One loop and the workers that would keep it going for ever."""

    table: Table
    chance: random.Random
    appetite: Literal["most", "left", "one more"]
    """It asks for as many actions as a plan can hold, or as are left, or for one more."""
    asked: int = 0
    """The actions of its newest plan."""

    def run(self) -> Loop:
        """Answer every grant until the loop ends."""
        self.table.begin()
        while self.table.loop.ended is None:
            if self.table.loop.open is None:
                self.table.give(Woken(), DAY_S)
            elif self.table.loop.failures == 0 and self.chance.random() < LOST:
                self._lose()
            else:
                self.table.give(self.table.result(*self._answer()))
        return self.table.loop

    def _lose(self) -> None:
        if self.chance.random() < 0.5:
            self.table.give(self.table.result(WorkerLost()))
            return
        opened = self.table.loop.open
        assert opened is not None
        self.table.now = opened.grant.deadline
        assert isinstance(self.table.give(Woken(), 3), TakeClaim)
        self.table.give(Woken(claim_won=False), 0)

    def _answer(self) -> tuple[ResultBody, Usage]:
        loop = self.table.loop
        reserved = loop.reserved
        usage = Usage(
            input_tokens=reserved.tokens,
            cost_microusd=reserved.cost_microusd,
            actions=reserved.actions,
        )
        match loop.step:
            case "planner":
                return PlanProposed(plan=self._plan()), usage
            case "executor":
                return ExecutionFinished(outcome=self._outcome()), usage
            case "verifier":
                assert loop.revision is not None
                return VerdictReached(verdict=self._verdict(loop.revision)), usage

    def _plan(self) -> Plan:
        cap = self.table.goal.budget.actions
        left = MOST if cap is None else cap - self.table.loop.spent.actions
        wanted = {"most": MOST, "left": left, "one more": left + 1}
        self.asked = min(MOST, wanted[self.appetite])
        # Each time another, so that it is its budget that ends it and not its repetition.
        another = Action(tool="shell", args={"run": f"touch {self.chance.random()}"})
        return Plan(summary="more", actions=(another,) * self.asked)

    def _outcome(self) -> Outcome:
        succeeded = self.chance.random() < 0.8
        action = ActionOutcome(tool="shell", status="succeeded" if succeeded else "failed")
        revision = f"{self.chance.getrandbits(160):040x}"
        return Outcome(revision=revision, succeeded=succeeded, actions=(action,))

    def _verdict(self, revision: str) -> Verdict:
        checks = tuple(
            CheckResult(name=name, status="failed", message="never")
            for name in self.table.goal.check_names
        )
        return Verdict(revision=revision, checks=checks, score=0.0)


def play(seed: int, index: int) -> Greedy:
    """One greedy loop, run to its end."""
    chance = random.Random(f"{seed}/{index}")
    log = MemoryLog(f"01JQ{index:022d}")
    table = Table(goal(chance), log=log, replays=False)
    one = Greedy(table, chance, chance.choice(("most", "left", "one more")))
    one.run()
    return one


def exact(one: Greedy) -> bool:
    """Whether what ended the loop is spent to the last unit that still fits."""
    loop, budget = one.table.loop, one.table.goal.budget
    match loop.reason:
        case "iterations":
            return loop.iteration == budget.iterations
        case "cost":
            return loop.spent.cost_microusd == budget.cost_microusd
        case "tokens":
            left = (budget.tokens or 0) - loop.spent.tokens
            return 0 <= left < MIN_CALL_TOKENS
        case "actions":
            left = (budget.actions or 0) - loop.spent.actions
            return 0 <= left < one.asked
        case _:
            return False


def faults(one: Greedy) -> Iterator[str]:
    """Where the loop did not end exactly at its budget, or its log says otherwise."""
    loop, log = one.table.loop, one.table.log
    if loop.ended != "exhausted" or not exact(one):
        spent, budget = loop.spent, one.table.goal.budget
        yield f"{loop.ended} by {loop.reason}: {spent} of {budget}, {loop.iteration} iterations"
    steps = one.table.goal.budget.iterations * len(ROLES)
    if log.replay() != loop:
        yield "its log replays to another loop"
    if len(log.bodies) > MOST_EVENTS_A_STEP * steps + ENDS:
        yield f"{len(log.bodies)} events for at most {steps} steps"
    entries = zip(log.events, log.seqs, log.bodies, strict=True)
    yield from audit([Entry(event, seq, digest(body)) for event, seq, body in entries])


def run(seed: int, loops: int) -> Report:
    """Play so many loops."""
    report, began = Report(seed), monotonic()
    for index in range(loops):
        one = play(seed, index)
        report.loops += 1
        report.events += len(one.table.log.bodies)
        reason = str(one.table.loop.reason)
        report.reasons[reason] = report.reasons.get(reason, 0) + 1
        report.violations += [f"loop {index}: {fault}" for fault in faults(one)]
    report.seconds = round(monotonic() - began, 1)
    return report


def main() -> int:
    """Play, and print the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="greedy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loops", type=int, default=2000)
    options = parser.parse_args()
    report = asdict(run(options.seed, options.loops))
    sentences = report.pop("violations")
    for sentence in sentences[:20]:
        print(sentence)
    print(json.dumps({"target": "bounded", "violations": len(sentences), **report}))
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
