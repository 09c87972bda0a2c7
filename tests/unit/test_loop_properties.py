"""Whatever arrives, in whatever order: budgets hold, the log replays and audits, the loop ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loopwright.audit import Entry, audit
from loopwright.budget import Usage
from loopwright.chain import digest
from loopwright.control import (
    Amend,
    Approve,
    BudgetChange,
    Cancel,
    Control,
    LimitsChange,
    Nudge,
    Pause,
    Reject,
    Resume,
    Retry,
)
from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.goal import Goal, OpenAI
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    ResultBody,
    StepFailed,
    VerdictReached,
    WorkerLost,
)
from loopwright.testing import model_goal, playbook_goal
from loopwright_coordinator.core import decide
from loopwright_coordinator.inputs import (
    Append,
    Begin,
    ControlArrived,
    Ignore,
    ResultArrived,
    TakeClaim,
    Woken,
)
from loopwright_coordinator.policy import POLICY
from table import TOUCH, Table

KINDS: list[ErrorKind] = sorted(POLICY)
JUDGE: dict[str, Any] = {
    "name": "judge",
    "kind": "judge",
    "rubric": "It is good.",
    "model": "test-model",
    "max_input_tokens": 1000,
    "max_output_tokens": 500,
    "price": {"input_usd_per_million": "1", "output_usd_per_million": "2"},
}
goals = st.sampled_from(
    [
        playbook_goal(on_exhausted="hold", approvals=["plan", "result"]),
        model_goal(on_exhausted="hold", budget={"iterations": 3, "tokens": 4000, "time": 3000}),
        playbook_goal(),
        playbook_goal(budget={"iterations": 2, "actions": 3, "time": 400}),
        model_goal(),
        model_goal(budget={"iterations": 9, "tokens": 4000, "usd": "0.005", "time": 2000}),
        playbook_goal(
            on_exhausted="hold",
            budget={"iterations": 3, "tokens": 3000, "time": 3000},
            verify={
                "checks": [*({"name": n, "kind": "file", "path": n} for n in ("a", "b")), JUDGE]
            },
        ),
    ]
)


IDS = st.integers(0, 50).map(lambda n: f"word-{n:05}")
CAPS = st.integers(1, 10_000)
words: st.SearchStrategy[Control] = st.one_of(
    st.builds(Pause, id=IDS, now=st.booleans()),
    st.builds(Resume, id=IDS),
    st.builds(Retry, id=IDS),
    st.builds(Nudge, id=IDS, hint=st.just("look again")),
    st.builds(Approve, id=IDS, of=st.just("another")),
    st.builds(
        Amend,
        id=IDS,
        budget=st.builds(
            BudgetChange,
            iterations=st.none() | st.integers(1, 12),
            tokens=st.none() | CAPS,
            actions=st.none() | st.integers(1, 12),
            time=st.none() | st.integers(1, 5000),
        ),
        limits=st.builds(LimitsChange, events=st.none() | st.integers(10, 200)),
    ),
)


class AnyOrder(RuleBasedStateMachine):
    """Results (right, wrong, repeated, late), timers, claims, people, in any order and time."""

    @initialize(goal=goals)
    def admit(self, goal: Goal) -> None:
        self.table = Table(goal)
        self.sent: list[ResultArrived] = []
        self.overran = False
        self.table.give(Begin())

    def bodies(self, data: st.DataObject) -> ResultBody:
        names = data.draw(st.sets(st.sampled_from(self.table.goal.check_names)))
        revision = data.draw(st.sampled_from(["1" * 40, "2" * 40]))
        checks = tuple(
            CheckResult.model_validate(
                {"name": n, "status": "passed" if n in names else "error", "message": "m"}
            )
            for n in self.table.goal.check_names
        )
        status = data.draw(st.sampled_from(["succeeded", "failed"]))
        action = ActionOutcome.model_validate({"tool": "shell", "status": status})
        uses_rule = None if isinstance(self.table.goal.planner, OpenAI) else "work"
        actions = (TOUCH,) * data.draw(st.integers(0, 3))
        outcome = Outcome(revision=revision, succeeded=status == "succeeded", actions=(action,))
        choices: list[ResultBody] = [
            PlanProposed(plan=Plan(summary="s", actions=actions, rule=uses_rule)),
            ExecutionFinished(outcome=outcome),
            VerdictReached(verdict=Verdict(revision=revision, checks=checks, score=0.0)),
            StepFailed(error=ErrorInfo(kind=data.draw(st.sampled_from(KINDS)), message="m")),
            WorkerLost(),
        ]
        return data.draw(st.sampled_from(choices))

    @precondition(lambda self: self.table.loop.open is not None)
    @rule(data=st.data(), after_s=st.floats(0, 200))
    def a_worker_answers(self, data: st.DataObject, after_s: float) -> None:
        opened = self.table.loop.open
        assert opened is not None
        reserved = opened.grant.reserved
        tokens = data.draw(st.integers(0, reserved.tokens))
        usage = Usage(
            input_tokens=tokens,
            cost_microusd=data.draw(st.integers(0, reserved.cost_microusd)),
            actions=data.draw(st.integers(0, reserved.actions)),
        )
        received = self.table.result(self.bodies(data), usage)
        self.sent.append(received)
        self.table.give(received, after_s)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def an_old_result_comes_again(self, data: st.DataObject) -> None:
        self.table.give(data.draw(st.sampled_from(self.sent)), 0.1)

    @rule(after_s=st.floats(0, 700), won=st.booleans())
    def a_timer_fires(self, after_s: float, won: bool) -> None:
        if isinstance(self.table.give(Woken(), after_s), TakeClaim):
            self.table.give(Woken(claim_won=won), 0.0)

    @precondition(lambda self: self.table.count > 12)
    @rule()
    def somebody_cancels(self) -> None:
        self.table.give(ControlArrived(Cancel(id="cancel-01")))

    @rule(word=words, again=st.booleans())
    def somebody_speaks(self, word: Control, again: bool) -> None:
        before = self.table.loop
        decision = self.table.give(ControlArrived(word), 1.0)
        if word.id in before.controls:
            assert isinstance(decision, Ignore)
        if again:
            after = self.table.loop
            assert not isinstance(self.table.give(ControlArrived(word), 1.0), Append) or (
                word.id not in after.controls
            )

    @precondition(lambda self: self.table.loop.held and self.table.loop.held.wanted)
    @rule(yes=st.booleans(), number=st.integers(0, 10**6))
    def somebody_answers(self, yes: bool, number: int) -> None:
        held = self.table.loop.held
        assert held is not None
        assert held.wanted is not None
        make = Approve if yes else Reject
        word = make(id=f"answer-{number:07}", of=held.wanted.of)
        if word.id not in self.table.loop.controls:
            assert isinstance(self.table.give(ControlArrived(word)), Append)

    @rule()
    def the_same_input_is_decided_the_same_way(self) -> None:
        loop, now = self.table.loop, self.table.now
        for received in (Woken(), Woken(claim_won=True), ControlArrived(Pause(id="pause-0000"))):
            assert decide(loop, received, now, "t") == decide(loop, received, now, "t")

    @invariant()
    def nothing_is_granted_to_a_loop_that_is_held(self) -> None:
        loop = self.table.loop
        if loop.held is not None and loop.held.kind != "paused":
            assert loop.open is None

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        log = self.table.log
        entries = [
            Entry(event, seq, digest(body))
            for event, seq, body in zip(log.events, log.seqs, log.bodies, strict=True)
        ]
        assert audit(entries) == []

    @invariant()
    def budgets_hold(self) -> None:
        loop = self.table.loop
        used, budget = loop.spent + loop.reserved, loop.budget
        assert budget.tokens is None or used.tokens <= budget.tokens
        assert budget.cost_microusd is None or used.cost_microusd <= budget.cost_microusd
        assert budget.actions is None or used.actions <= budget.actions
        assert loop.iteration <= budget.iterations

    @invariant()
    def an_achieved_loop_has_a_verdict_in_which_all_required_checks_pass(self) -> None:
        loop = self.table.loop
        if loop.ended == "achieved":
            assert loop.verdict is not None
            assert loop.goal.required_checks <= loop.verdict.passed

    @invariant()
    def a_loop_that_goes_on_has_something_that_will_move_it(self) -> None:
        loop = self.table.loop
        if loop.ended is None:
            assert loop.open is not None or loop.held is not None
            assert loop.wake_at is not None

    def teardown(self) -> None:
        """Past the deadline one look ends it, whatever came before."""
        if self.table.loop.ended is not None:
            return
        left: Any = self.table.loop.deadline - self.table.now
        self.table.now += max(left, timedelta())
        decision = self.table.give(Woken(claim_won=False), 1.0)
        assert isinstance(decision, Append)
        assert self.table.loop.ended == "deadline"


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
