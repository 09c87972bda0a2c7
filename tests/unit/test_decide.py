"""The coordinator's decisions: tables of (loop, input) → event, without any I/O."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from loopwright.budget import Amount, Usage
from loopwright.control import Cancel
from loopwright.errors import ErrorKind
from loopwright.plan import CheckResult, Plan, Verdict
from loopwright.results import (
    PlanProposed,
    VerdictReached,
    WorkerLost,
)
from loopwright.testing import EPOCH, model_goal, playbook_goal
from loopwright.tools import Action
from loopwright_coordinator.core import decide
from loopwright_coordinator.inputs import (
    Append,
    Arm,
    Begin,
    ControlArrived,
    Ignore,
    TakeClaim,
    Woken,
)
from loopwright_coordinator.seal import GRACE_S
from table import PLAN, R1, R2, TOUCH, Table


def test_the_three_events_carry_the_data_round_the_loop() -> None:
    table = Table()
    planned = table.begin()
    assert planned.kind == "plan_requested"
    assert (planned.grant.iteration, planned.grant.attempt, planned.verdict) == (1, 1, None)
    executed = table.plan()
    assert executed.kind == "execution_requested"
    assert executed.plan == PLAN
    verified = table.execute()
    assert verified.kind == "verification_requested"
    assert (verified.revision, verified.outcome.succeeded) == (R1, True)
    again = table.verdict("a")
    assert again.kind == "plan_requested"
    assert again.grant.iteration == 2
    assert again.verdict.score == 0.5
    assert again.rule_uses == {"work": 1}
    assert again.history[0].turned_green == ("a",)


def test_a_loop_is_achieved_only_when_every_required_check_passes() -> None:
    table = Table()
    table.begin()
    assert table.work("a").kind == table.work("b").kind == "plan_requested"
    ended = table.work("a", "b")
    assert ended.kind == "loop_ended"
    assert (ended.outcome, ended.reason, ended.best.revision) == ("achieved", "verified", R1)
    assert table.loop.state == "ended"


def test_an_advisory_check_does_not_keep_a_loop_from_being_achieved() -> None:
    checks = [
        {"name": "a", "kind": "file", "path": "a"},
        {"name": "b", "kind": "file", "path": "b", "required": False},
    ]
    table = Table(playbook_goal(verify={"checks": checks}))
    table.begin(), table.plan(), table.execute()
    assert table.verdict("a").outcome == "achieved"


def test_a_verdict_about_another_revision_is_refused() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute(R1)
    event = table.verdict("a", "b", revision=R2)
    assert event.kind == "verification_requested"
    assert event.settles.error.kind == "invalid_output"


def test_a_verdict_that_leaves_a_check_out_is_refused() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute()
    check = CheckResult(name="a", status="passed", message="m")
    body = VerdictReached(verdict=Verdict(revision=R1, checks=(check,), score=1.0))
    event = table.event(table.result(body))
    assert event.settles.error.kind == "invalid_output"


def test_the_score_of_a_verdict_is_the_coordinators_own() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute()
    assert table.verdict("b").verdict.score == 0.5


def test_loop_stops_at_its_iteration_budget_and_names_the_best() -> None:
    table = Table()
    table.begin()
    for passed in (("a",), (), ()):
        table.plan(), table.execute()
        event = table.verdict(*passed)
    assert event.kind == "loop_ended"
    assert (event.outcome, event.reason, event.iterations) == ("exhausted", "iterations", 3)
    assert (event.best.iteration, event.best.score) == (1, 0.5)
    assert "raise budget.iterations" in event.detail


def test_a_failed_execution_leaves_the_revision_and_goes_round_again() -> None:
    table = Table()
    table.begin(), table.plan()
    event = table.execute(R2, succeeded=False)
    assert event.kind == "plan_requested"
    assert (event.revision, event.grant.iteration) == (None, 2)
    assert event.history[0].executed is False
    assert event.history[0].note == "shell failed"


def test_a_plan_without_actions_asks_for_verification_as_things_are() -> None:
    table = Table()
    table.begin()
    event = table.plan(Plan(summary="it is done", rule="work"))
    assert event.kind == "verification_requested"
    assert event.outcome is None


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        (
            Plan(summary="s", actions=(Action(tool="rm", args={}),), rule="work"),
            "permission_denied",
        ),
        (
            Plan(summary="s", actions=(Action(tool="shell", args={}),), rule="work"),
            "permission_denied",
        ),
        (Plan(summary="s", actions=(TOUCH,), rule="other"), "invalid_output"),
    ],
)
def test_a_plan_beyond_the_goal_is_refused(plan: Plan, kind: str) -> None:
    table = Table()
    table.begin()
    event = table.plan(plan)
    assert event.kind == "plan_requested"
    assert event.settles.error.kind == kind
    assert event.grant.attempt == 2


def test_a_rule_is_not_used_more_often_than_it_says() -> None:
    goal = playbook_goal(budget={"iterations": 9})
    table = Table(goal)
    table.begin()
    for _ in range(3):
        table.plan(), table.execute(), table.verdict()
    assert table.loop.rule_uses == {"work": 3}
    assert table.plan().settles.error.kind == "invalid_output"


def test_no_rule_left_ends_the_loop_as_exhausted() -> None:
    table = Table()
    table.begin()
    event = table.fail("no_rule_applies")
    assert (event.outcome, event.reason) == ("exhausted", "no_rule_applies")


def test_a_plan_with_more_actions_than_are_left_ends_the_loop() -> None:
    table = Table(playbook_goal(budget={"iterations": 5, "actions": 2}))
    table.begin()
    event = table.plan(PLAN.model_copy(update={"actions": (TOUCH,) * 3}))
    assert (event.outcome, event.reason) == ("exhausted", "actions")


def test_actions_are_reserved_before_and_charged_after() -> None:
    table = Table(playbook_goal(budget={"iterations": 5, "actions": 2}))
    table.begin(), table.plan()
    assert table.loop.reserved == Amount(actions=1)
    table.execute()
    assert (table.loop.reserved, table.loop.spent) == (Amount(), Amount(actions=1))


def test_a_model_call_is_reserved_at_its_worst_case_and_settled_at_its_usage() -> None:
    table = Table(model_goal())
    planned = table.begin()
    assert planned.grant.reserved == Amount(tokens=1500, cost_microusd=2000)
    usage = Usage(input_tokens=100, output_tokens=50, cost_microusd=200)
    event = table.plan(Plan(summary="s", actions=(TOUCH,)), usage)
    assert event.settles.charged == Amount(tokens=150, cost_microusd=200)
    assert table.loop.spent == Amount(tokens=150, cost_microusd=200)


def test_an_overrun_is_charged_and_named() -> None:
    table = Table(model_goal())
    table.begin()
    event = table.plan(Plan(summary="s", actions=(TOUCH,)), Usage(output_tokens=5000))
    assert event.settles.overrun
    assert table.loop.spent.tokens == 5000


def test_reserved_and_spent_never_pass_the_token_cap() -> None:
    table = Table(model_goal(budget={"iterations": 50, "tokens": 2000}))
    planned = table.begin()
    while planned.kind == "plan_requested":
        assert table.loop.spent.tokens + table.loop.reserved.tokens <= 2000
        used = Usage(input_tokens=planned.grant.reserved.tokens - 100, output_tokens=100)
        table.plan(Plan(summary="s", actions=(TOUCH,)), used)
        table.execute()
        planned = table.verdict()
    assert (planned.outcome, planned.reason) == ("exhausted", "tokens")
    assert table.loop.spent.tokens <= 2000


def test_a_dollar_budget_without_a_known_price_is_rejected() -> None:
    planner = {"backend": "openai", "model": "nobody-knows"}
    table = Table(model_goal(planner=planner))
    event = table.begin()
    assert (event.outcome, event.reason) == ("rejected", "unknown_price")


def test_a_token_budget_needs_no_price() -> None:
    planner = {"backend": "openai", "model": "nobody-knows"}
    table = Table(model_goal(planner=planner, budget={"tokens": 50_000}))
    assert table.begin().kind == "plan_requested"


def test_the_operators_cap_rejects_a_dearer_goal() -> None:
    table = Table(model_goal())
    event = table.event(Begin(max_usd=Decimal("0.001")))
    assert (event.outcome, event.reason) == ("rejected", "policy_cap")


def test_cancel_charges_the_open_grant_in_full_and_stops_the_worker() -> None:
    table = Table(model_goal())
    table.begin()
    decision = table.give(ControlArrived(Cancel(id="cancel-01", reason="enough")))
    assert isinstance(decision, Append)
    assert decision.stop
    assert decision.data.kind == "loop_ended"
    assert (decision.data.outcome, decision.data.spent.tokens) == ("cancelled", 1500)
    assert isinstance(table.give(ControlArrived(Cancel(id="cancel-02"))), Ignore)


def test_a_result_with_another_token_is_ignored() -> None:
    table = Table()
    table.begin()
    assert isinstance(table.give(table.result(PlanProposed(plan=PLAN), token="forged")), Ignore)


def test_a_result_is_accepted_once() -> None:
    table = Table()
    table.begin()
    received = table.result(PlanProposed(plan=PLAN))
    assert isinstance(table.give(received), Append)
    assert isinstance(table.give(received), Ignore)


def test_another_roles_result_does_not_settle_a_grant() -> None:
    table = Table()
    table.begin()
    checks = tuple(CheckResult(name=n, status="passed", message="m") for n in ("a", "b"))
    body = VerdictReached(verdict=Verdict(revision=R1, checks=checks, score=1.0))
    event = table.event(table.result(body, role="verifier"))
    assert (event.kind, event.settles.error.kind) == ("loop_held", "internal")


def test_a_lost_worker_is_charged_in_full_and_its_step_granted_again() -> None:
    table = Table(model_goal())
    first = table.begin()
    event = table.event(table.result(WorkerLost()))
    assert event.kind == "plan_requested"
    assert (event.grant.iteration, event.grant.attempt) == (1, 2)
    assert event.settles.charged == first.grant.reserved
    assert table.loop.spent == first.grant.reserved


def test_a_late_result_changes_nothing_but_its_usage_is_kept() -> None:
    table = Table(model_goal())
    table.begin()
    late = table.result(PlanProposed(plan=PLAN), Usage(input_tokens=10))
    table.event(table.result(WorkerLost()))
    before = table.loop
    event = table.event(late)
    assert event.kind == "late_result_recorded"
    assert event.usage.input_tokens == 10
    assert (table.loop.spent, table.loop.open) == (before.spent, before.open)
    assert isinstance(table.give(late), Ignore)


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "network", "timeout"])
def test_a_passing_failure_backs_off_and_tries_again(kind: ErrorKind) -> None:
    table = Table()
    table.begin()
    event = table.fail(kind)
    assert event.kind == "loop_held"
    assert table.loop.state == "backing_off"
    again = table.event(Woken(), after_s=(event.until - table.now).total_seconds())
    assert (again.kind, again.grant.attempt) == ("plan_requested", 2)


def test_a_hold_is_not_left_before_its_time() -> None:
    table = Table()
    table.begin()
    table.fail("rate_limited", retry_after_s=42.0)
    assert isinstance(table.give(Woken(), after_s=41.0), Arm)


def test_retry_after_is_honoured() -> None:
    table = Table()
    table.begin()
    event = table.fail("rate_limited", retry_after_s=42.0)
    assert (event.until - table.now).total_seconds() == 42.0


@pytest.mark.parametrize("kind", ["auth", "billing", "model_not_found"])
def test_what_only_a_person_can_mend_blocks_the_loop_and_burns_nothing(kind: ErrorKind) -> None:
    table = Table()
    table.begin()
    event = table.fail(kind)
    assert (event.kind, event.hold) == ("loop_held", "blocked")
    assert table.loop.reserved == Amount()
    assert f"loopwright retry {table.loop.id}" in event.detail


def test_failures_in_a_row_end_the_loop() -> None:
    table = Table(playbook_goal(limits={"attempts": 2}))
    table.begin()
    assert table.fail("invalid_output").kind == "plan_requested"
    event = table.fail("invalid_output")
    assert (event.outcome, event.reason) == ("failed", "errors")
    assert "limits.attempts is 2" in event.detail


def test_a_success_clears_the_failures_before_it() -> None:
    table = Table(playbook_goal(limits={"attempts": 2}))
    table.begin(), table.fail("invalid_output"), table.plan()
    assert table.loop.failures == 0


def overdue_s(table: Table) -> float:
    assert table.loop.open is not None
    return (table.loop.open.grant.deadline - table.now).total_seconds() + GRACE_S


def test_at_a_missed_deadline_the_coordinator_asks_for_the_claim_first() -> None:
    table = Table()
    table.begin()
    assert isinstance(table.give(Woken(), overdue_s(table)), TakeClaim)


def test_an_unclaimed_attempt_is_released_at_its_deadline() -> None:
    table = Table(model_goal())
    table.begin()
    event = table.event(Woken(claim_won=True), overdue_s(table))
    assert event.kind == "plan_requested"
    assert (event.settles.status, event.settles.charged) == ("not_started", Amount())
    assert table.loop.failures == 0


def test_an_answer_about_an_earlier_attempts_claim_says_nothing_of_a_later_one() -> None:
    """Another coordinator has granted the next attempt while this one asked for the claim."""
    table = Table(model_goal())
    asked = table.begin().grant.token_digest
    table.event(Woken(claim_won=True, asked=asked), overdue_s(table))
    assert isinstance(table.give(Woken(claim_won=True, asked=asked), overdue_s(table)), TakeClaim)


def test_a_claimed_attempt_is_charged_in_full_at_its_deadline() -> None:
    table = Table(model_goal())
    first = table.begin()
    event = table.event(Woken(claim_won=False), overdue_s(table))
    assert event.kind == "loop_held"
    assert (event.settles.status, event.settles.charged) == ("expired", first.grant.reserved)


def test_a_look_before_anything_is_due_only_arms_the_next() -> None:
    table = Table()
    table.begin()
    assert table.loop.open is not None
    decision = table.give(Woken())
    assert isinstance(decision, Arm)
    assert decision.timer.at == table.loop.open.grant.deadline + timedelta(seconds=GRACE_S)


def test_the_deadline_ends_the_loop_whatever_runs() -> None:
    table = Table()
    table.begin()
    event = table.event(Woken(claim_won=False), after_s=600)
    assert (event.outcome, event.reason) == ("deadline", "time")
    assert event.settles.status == "ended"


def test_a_verdict_that_arrives_after_the_deadline_still_counts() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute()
    table.now += timedelta(hours=1)
    assert table.verdict("a", "b").outcome == "achieved"


def test_one_armed_timer_serves_the_steps_that_end_before_it() -> None:
    table = Table()
    decisions = [table.give(Begin()), table.give(table.result(PlanProposed(plan=PLAN)))]
    timers = [decision.timer for decision in decisions if isinstance(decision, Append)]
    assert timers[0] is not None
    assert timers[1] is None


def test_a_decision_made_twice_is_the_same_decision() -> None:
    table = Table()
    table.begin()
    received = table.result(PlanProposed(plan=PLAN))
    assert decide(table.loop, received, EPOCH, "t") == decide(table.loop, received, EPOCH, "t")
