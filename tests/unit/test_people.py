"""What people say to a loop, in every state: done, refused with the reason, done once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from loopwright.budget import Amount, Usage
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
from loopwright.marks import plan_digest
from loopwright.plan import ActionOutcome, Outcome, Plan
from loopwright.results import ExecutionFinished, PlanProposed
from loopwright.states import LoopState
from loopwright.testing import EPOCH, model_goal, playbook_goal
from loopwright_coordinator.inputs import Append, Arm, ControlArrived, Ignore, Woken
from table import PLAN, R1, R2, Table

ID = "message-1"


def amend(number: str = ID, /, **budget: Any) -> Amend:
    return Amend(id=number, budget=BudgetChange(**budget))


def in_state(state: LoopState) -> Table:
    """A loop that was brought into a state by what happens."""
    goal = playbook_goal(
        on_exhausted="hold", approvals=["result"] if state == "awaiting_approval" else []
    )
    table = Table(goal)
    if state == "admitted":
        return table
    table.begin()
    match state:
        case "executing":
            table.plan()
        case "verifying":
            table.plan(), table.execute()
        case "paused":
            table.say(Pause(id="pause-001", now=True))
        case "backing_off":
            table.fail("rate_limited", retry_after_s=30)
        case "blocked":
            table.fail("auth")
        case "awaiting_approval":
            table.work("a", "b")
        case "budget_exhausted":
            for revision in (R1, R2, R1):
                table.work("a", revision=revision)
        case "ended":
            table.say(Cancel(id="cancel-01"))
        case _:
            pass
    assert table.loop.state == state
    return table


WORDS: list[Control] = [
    Cancel(id=ID),
    Pause(id=ID),
    Resume(id=ID),
    amend(iterations=9),
    Approve(id=ID, of=R1),
    Reject(id=ID, of=R1),
    Nudge(id=ID, hint="look again"),
    Retry(id=ID),
]
EVERY: tuple[LoopState, ...] = (
    "admitted", "planning", "executing", "verifying", "paused", "awaiting_approval",
    "backing_off", "blocked", "budget_exhausted",
)  # fmt: skip
DONE_IN: dict[str, tuple[LoopState, ...]] = {
    "cancel": EVERY,
    "pause": ("admitted", "planning", "executing", "verifying", "backing_off"),
    "resume": ("paused",),
    "amend": EVERY,
    "approve": ("awaiting_approval",),
    "reject": ("awaiting_approval",),
    "nudge": EVERY,
    "retry": ("backing_off", "blocked"),
}


@pytest.mark.parametrize("state", [*EVERY, "ended"])
@pytest.mark.parametrize("word", WORDS, ids=lambda word: str(word.kind))
def test_a_word_is_done_where_the_state_allows_it_and_else_refused(
    word: Control, state: LoopState
) -> None:
    table = in_state(state)
    said = table.say(word)
    if state in DONE_IN[word.kind]:
        assert not isinstance(said, Ignore), said
        assert said.control == word
        assert word.id in table.loop.controls
    else:
        assert isinstance(said, Ignore)
        assert not said.done
        assert state.replace("_", " ") in said.why


@pytest.mark.parametrize("word", WORDS, ids=lambda word: str(word.kind))
def test_a_word_that_comes_again_is_done_once(word: Control) -> None:
    state = DONE_IN[word.kind][-1]
    table = in_state(state)
    table.say(word)
    before = table.loop
    again = table.say(word)
    assert isinstance(again, Ignore)
    assert again.done
    assert table.loop == before


def test_a_paused_loop_lets_its_step_finish_and_grants_nothing_more() -> None:
    table = Table()
    table.begin()
    held = table.say(Pause(id=ID))
    assert (held.hold, table.loop.open is not None) == ("paused", True)
    accepted = table.plan()
    assert (accepted.kind, accepted.hold, accepted.plan) == ("loop_held", "paused", PLAN)
    assert table.loop.open is None
    resumed = table.say(Resume(id="message-2"))
    assert (resumed.kind, resumed.grant.attempt, resumed.plan) == ("execution_requested", 1, PLAN)


def test_a_verdict_that_comes_in_a_pause_is_kept() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute()
    table.say(Pause(id=ID))
    table.verdict("a")
    assert (table.loop.state, table.loop.history[0].turned_green) == ("paused", ("a",))
    resumed = table.say(Resume(id="message-2"))
    assert (resumed.kind, resumed.grant.iteration) == ("plan_requested", 2)
    assert resumed.verdict.passed == {"a"}


def test_a_cap_that_is_lowered_in_a_pause_holds_after_it() -> None:
    table = Table(playbook_goal(on_exhausted="hold"))
    table.begin(), table.plan(), table.execute()
    table.say(Pause(id=ID))
    table.verdict("a")
    table.say(amend("message-2", iterations=1))
    event = table.say(Resume(id="message-3"))
    assert (event.kind, event.hold) == ("loop_held", "budget_exhausted")


def test_a_loop_that_is_met_in_a_pause_is_achieved() -> None:
    table = Table()
    table.begin(), table.plan(), table.execute()
    table.say(Pause(id=ID))
    assert table.verdict("a", "b").outcome == "achieved"


def test_a_pause_that_ends_while_the_step_runs_leaves_it_alone() -> None:
    table = Table()
    table.begin()
    opened = table.loop.open
    table.say(Pause(id=ID))
    assert table.say(Resume(id="message-2")).kind == "loop_controlled"
    assert (table.loop.state, table.loop.open) == ("planning", opened)


def test_a_pause_now_charges_the_running_step_in_full_and_stops_it() -> None:
    table = Table(model_goal())
    table.begin()
    reserved = table.loop.reserved
    late = table.result(PlanProposed(plan=PLAN), Usage(input_tokens=7))
    decision = table.give(ControlArrived(Pause(id=ID, now=True)))
    assert isinstance(decision, Append)
    assert decision.stop
    assert (table.loop.spent, table.loop.open) == (reserved, None)
    assert table.event(late).kind == "late_result_recorded"
    assert table.loop.state == "paused"
    assert table.say(Resume(id="message-2")).grant.attempt == 2


def test_a_failed_attempt_of_a_paused_loop_waits_for_its_resume() -> None:
    table = Table()
    table.begin()
    table.say(Pause(id=ID))
    table.fail("network")
    assert table.loop.state == "paused"
    assert table.say(Resume(id="message-2")).grant.attempt == 2


def test_a_paused_loop_ends_at_its_deadline() -> None:
    table = in_state("paused")
    left = (table.loop.deadline - table.now).total_seconds()
    assert isinstance(table.give(Woken(), left - 1), Arm)
    ended = table.event(Woken(), 1)
    assert ended.outcome == "deadline"


def test_an_exhausted_loop_goes_on_when_its_budget_is_raised() -> None:
    table = in_state("budget_exhausted")
    assert "loopwright amend" in table.loop.held.detail if table.loop.held else False
    event = table.say(amend(iterations=4))
    assert (event.kind, event.grant.iteration) == ("plan_requested", 4)


def test_an_amendment_that_is_too_small_leaves_the_loop_held() -> None:
    table = Table(playbook_goal(on_exhausted="hold", budget={"iterations": 9, "actions": 1}))
    table.begin(), table.work("a")
    assert table.loop.state == "budget_exhausted"
    assert table.say(amend(iterations=10)).hold == "budget_exhausted"
    assert table.say(amend("message-2", actions=2)).kind == "plan_requested"


def test_a_plan_that_did_not_fit_is_run_when_its_actions_are_granted() -> None:
    table = Table(playbook_goal(on_exhausted="hold", budget={"iterations": 9, "actions": 1}))
    table.begin()
    twice = PLAN.model_copy(update={"actions": PLAN.actions * 2})
    held = table.plan(twice)
    assert (held.kind, held.reason, held.plan) == ("loop_held", "actions", twice)
    event = table.say(amend(actions=2))
    assert (event.kind, event.plan, event.grant.attempt) == ("execution_requested", twice, 1)
    assert table.loop.rule_uses == {"work": 1}


def test_an_exhausted_loop_ends_when_nobody_raises_its_budget() -> None:
    goal = playbook_goal(on_exhausted="hold", limits={"hold_time": 50})
    table = Table(goal)
    table.begin()
    for revision in (R1, R2, R1):
        table.work("a", revision=revision)
    ended = table.event(Woken(), 50)
    assert (ended.outcome, ended.reason, ended.best.iteration) == ("exhausted", "iterations", 1)
    assert "nobody answered within 50 s" in ended.detail


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tokens": 1}, "tokens are less than"),
        ({"usd": "0.000001"}, "micro-dollars are less than"),
        ({"time": 0.5}, "cancel it instead"),
        ({}, "nothing is to be amended"),
    ],
)
def test_no_cap_can_be_set_below_what_is_spent_or_reserved(
    change: dict[str, Any], why: str
) -> None:
    table = Table(model_goal())
    table.begin()
    refused = table.say(amend(**change))
    assert isinstance(refused, Ignore)
    assert why in refused.why


def test_an_amended_deadline_moves_the_loops_end_and_its_timer() -> None:
    table = Table()
    table.begin()
    event = table.say(amend(time=100))
    assert table.loop.deadline == EPOCH + timedelta(seconds=100)
    assert event.wake_at <= table.loop.deadline
    ended = table.event(Woken(claim_won=True), 200)
    assert (ended.outcome, ended.settles.status) == ("deadline", "not_started")


def test_amended_limits_travel_with_the_next_grant() -> None:
    table = Table()
    table.begin()
    table.say(Amend(id=ID, limits=LimitsChange(memory_mb=64, execute_time=5)))
    grant = table.plan().grant
    assert grant.limits.memory_mb == 64
    assert (grant.deadline - table.now).total_seconds() == 5


def test_a_dollar_cap_without_a_price_is_refused() -> None:
    goal = model_goal(budget={"tokens": 9000, "time": 600})
    planner = goal.planner.model_copy(update={"price": None})
    table = Table(goal.model_copy(update={"planner": planner}))
    table.begin()
    assert isinstance(table.say(amend(usd=Decimal(1))), Ignore)


def test_a_nudge_reaches_the_next_plan_and_its_retries_and_then_is_gone() -> None:
    table = Table()
    table.begin(), table.plan()
    table.say(Nudge(id=ID, hint="the file is called b"))
    table.execute()
    event = table.verdict("a")
    assert event.hints == ("the file is called b",)
    assert table.fail("invalid_output").hints == event.hints
    table.plan(), table.execute(R2)
    assert table.verdict("a", revision=R2).hints == ()


def test_a_blocked_loop_tries_its_step_again_when_told() -> None:
    table = in_state("blocked")
    event = table.say(Retry(id=ID))
    assert (event.kind, event.grant.attempt) == ("plan_requested", 2)
    assert table.loop.failures == 0


def test_a_blocked_loop_ends_when_nobody_mends_it() -> None:
    table = Table(playbook_goal(limits={"hold_time": 50}))
    table.begin(), table.fail("billing")
    ended = table.event(Woken(), 50)
    assert (ended.outcome, ended.reason) == ("failed", "dependency")


def test_a_plan_waits_for_its_approval_and_no_other_is_run() -> None:
    table = Table(playbook_goal(approvals=["plan"]))
    table.begin()
    held = table.plan()
    assert (held.hold, held.wanted.kind) == ("awaiting_approval", "plan")
    other = table.say(Approve(id=ID, of="0123"))
    assert isinstance(other, Ignore)
    assert held.wanted.of in other.why
    event = table.say(Approve(id="message-2", of=held.wanted.of))
    assert (event.kind, event.plan) == ("execution_requested", PLAN)


def test_a_rejected_plan_is_not_run_and_the_next_one_hears_why() -> None:
    table = Table(playbook_goal(approvals=["plan"]))
    table.begin()
    held = table.plan()
    event = table.say(Reject(id=ID, of=held.wanted.of, reason="it deletes too much"))
    assert (event.kind, event.grant.iteration) == ("plan_requested", 2)
    assert "it deletes too much" in event.hints[0]
    assert "rejected: it deletes too much" in event.history[0].note


def test_a_loop_held_for_its_judges_budget_goes_on_when_it_is_raised() -> None:
    files: list[Any] = [{"name": n, "kind": "file", "path": n} for n in ("a", "b")]
    judge = {"name": "judge", "kind": "judge", "rubric": "It is good.", "model": "m"}
    price = {"input_usd_per_million": "1", "output_usd_per_million": "1"}
    goal = playbook_goal(
        on_exhausted="hold",
        budget={"iterations": 3, "tokens": 1, "time": 600},
        verify={"checks": [*files, judge | {"max_input_tokens": 2000, "price": price}]},
    )
    table = Table(goal)
    table.begin(), table.plan()
    held = table.execute()
    assert (held.kind, table.loop.state) == ("loop_held", "budget_exhausted")
    table.say(Amend(id=ID, budget=BudgetChange(tokens=9000)))
    assert table.loop.state == "verifying"


def test_a_verified_result_counts_when_it_is_approved() -> None:
    table = in_state("awaiting_approval")
    assert table.loop.ended is None
    ended = table.say(Approve(id=ID, of=R1, reason="looks right"))
    assert (ended.outcome, ended.reason, ended.best.revision) == ("achieved", "approved", R1)
    assert "looks right" in ended.detail


def test_the_approved_revision_is_delivered_and_not_a_rejected_one_of_the_same_score() -> None:
    table = in_state("awaiting_approval")
    table.say(Reject(id="reject-0001", of=R1, reason="the name is wrong"))
    table.work("a", "b", revision=R2)
    ended = table.say(Approve(id="approve-001", of=R2))
    assert (ended.outcome, ended.best.revision, ended.best.iteration) == ("achieved", R2, 2)
    assert table.loop.best == ended.best


def test_a_rejected_result_goes_round_again() -> None:
    table = in_state("awaiting_approval")
    event = table.say(Reject(id=ID, of=R1, reason="the name is wrong"))
    assert (event.kind, event.grant.iteration) == ("plan_requested", 2)


def test_a_result_that_nobody_approves_is_not_achieved() -> None:
    goal = playbook_goal(approvals=["result"], limits={"hold_time": 50})
    table = Table(goal)
    table.begin(), table.work("a", "b")
    ended = table.event(Woken(), 50)
    assert (ended.outcome, ended.reason, ended.best.score) == ("failed", "hold_expired", 1.0)


def test_a_plan_that_comes_in_a_pause_still_needs_its_approval() -> None:
    table = Table(playbook_goal(approvals=["plan"]))
    table.begin()
    table.say(Pause(id=ID))
    table.plan()
    assert table.loop.state == "awaiting_approval"


def test_cancel_while_held_delivers_the_best() -> None:
    table = in_state("budget_exhausted")
    ended = table.say(Cancel(id=ID, reason="enough"))
    assert (ended.outcome, ended.best.score) == ("cancelled", 0.5)


def test_a_log_at_its_cap_ends_the_loop_and_charges_what_is_open() -> None:
    table = Table(model_goal(limits={"events": 10}))
    table.begin()
    event = None
    for number in range(20):
        event = table.say(Nudge(id=f"nudge-{number:03}", hint="more"))
        if event.kind == "loop_ended":
            break
    assert event is not None
    assert (event.outcome, event.reason) == ("failed", "events")
    assert table.loop.n + 1 <= 10
    assert table.loop.reserved == Amount()


def test_a_plan_digest_names_the_whole_plan() -> None:
    assert plan_digest(PLAN) != plan_digest(Plan(summary="make both"))


def test_an_outcome_that_comes_in_a_pause_is_judged_after_it() -> None:
    table = in_state("executing")
    table.say(Pause(id=ID))
    done = ActionOutcome(tool="shell", status="succeeded")
    outcome = Outcome(revision=R1, succeeded=True, actions=(done,))
    assert table.event(table.result(ExecutionFinished(outcome=outcome))).hold == "paused"
    assert (table.loop.step, table.loop.revision) == ("verifier", R1)
    assert table.say(Resume(id="message-2")).kind == "verification_requested"
