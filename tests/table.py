"""A loop on the table: put inputs to `decide`, and see the events that follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from loopwright.budget import Usage
from loopwright.control import Control
from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.family import Parent
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    Result,
    ResultBody,
    StepFailed,
    VerdictReached,
)
from loopwright.testing import EPOCH, MemoryLog, playbook_goal
from loopwright.tools import Action
from loopwright_coordinator.core import decide
from loopwright_coordinator.grants import token_digest
from loopwright_coordinator.inputs import (
    Append,
    Begin,
    ControlArrived,
    Decision,
    Input,
    ResultArrived,
)

TOUCH = Action(tool="shell", args={"run": "touch a b"})
PLAN = Plan(summary="make both", actions=(TOUCH,), rule="work")
R1, R2 = "1" * 40, "2" * 40


@dataclass
class Table:
    """A loop to put inputs to; it remembers the tokens of its grants."""

    goal: Goal = field(default_factory=playbook_goal)
    now: datetime = EPOCH
    log: MemoryLog = field(default_factory=MemoryLog)
    tokens: dict[int, str] = field(default_factory=dict)
    count: int = 0
    parent: Parent | None = None
    replays: bool = True
    """Whether each decision is made twice and the whole log replayed: slow for a long one."""

    def __post_init__(self) -> None:
        self.log.admit(self.goal, at=self.now, parent=self.parent)

    @property
    def loop(self) -> Loop:
        assert self.log.loop is not None
        return self.log.loop

    def give(self, received: Input, after_s: float = 1.0) -> Decision:
        self.now += timedelta(seconds=after_s)
        self.count += 1
        token = f"token-{self.count}"
        decision = decide(self.loop, received, self.now, token)
        if self.replays:
            twin = Loop.model_validate_json(self.loop.model_dump_json())
            assert decide(twin, received, self.now, token) == decision
        if isinstance(decision, Append):
            self.log.append(decision.data, at=self.now, expected=self.loop.tip)
            assert not self.replays or self.log.replay() == self.loop
            if decision.token:
                self.tokens[self.loop.tip] = decision.token
        return decision

    def event(self, received: Input, after_s: float = 1.0) -> Any:
        decision = self.give(received, after_s)
        assert isinstance(decision, Append), decision
        return decision.data

    def begin(self) -> Any:
        return self.event(Begin())

    def result(self, body: ResultBody, usage: Usage | None = None, **changes: Any) -> ResultArrived:
        opened = self.loop.open
        assert opened is not None
        fields: dict[str, Any] = {
            "loop": self.loop.id,
            "role": opened.grant.role,
            "iteration": opened.grant.iteration,
            "attempt": opened.grant.attempt,
            "grant_seq": opened.seq,
            "worker": "w1",
            "finished_at": self.now,
            "usage": usage or Usage(),
            "body": body,
        }
        token = changes.pop("token", self.tokens[opened.seq])
        return ResultArrived(Result(**fields | changes), token_digest(token))

    def plan(self, plan: Plan = PLAN, usage: Usage | None = None) -> Any:
        return self.event(self.result(PlanProposed(plan=plan), usage))

    def execute(
        self,
        revision: str = R1,
        *,
        succeeded: bool = True,
        tree: str | None = None,
        said: str = "",
    ) -> Any:
        status = "succeeded" if succeeded else "failed"
        action = ActionOutcome.model_validate({"tool": "shell", "status": status, "stdout": said})
        outcome = Outcome(revision=revision, succeeded=succeeded, actions=(action,), tree=tree)
        return self.event(self.result(ExecutionFinished(outcome=outcome), Usage(actions=1)))

    def verdict(self, *passed: str, revision: str = R1) -> Any:
        checks = tuple(
            CheckResult.model_validate(
                {"name": name, "status": "passed" if name in passed else "failed", "message": "m"}
            )
            for name in self.goal.check_names
        )
        verdict = Verdict(revision=revision, checks=checks, score=0.123)
        return self.event(self.result(VerdictReached(verdict=verdict)))

    def say(self, control: Control, after_s: float = 1.0) -> Any:
        """Give a person's word; the event that does it, or why nothing is done."""
        decision = self.give(ControlArrived(control), after_s)
        return decision.data if isinstance(decision, Append) else decision

    def work(self, *passed: str, revision: str = R1, **outcome: Any) -> Any:
        """One whole iteration of the granted plan, to its verdict."""
        self.plan()
        self.execute(revision, **outcome)
        return self.verdict(*passed, revision=revision)

    def fail(self, kind: ErrorKind, retry_after_s: float | None = None) -> Any:
        error = ErrorInfo(kind=kind, message="it failed", retry_after_s=retry_after_s)
        return self.event(self.result(StepFailed(error=error)))
