"""Where several exits are open at once, the first of the documented order is taken."""

from __future__ import annotations

from datetime import timedelta

from loopwright.control import Cancel
from loopwright.plan import Plan
from loopwright.testing import model_goal, playbook_goal
from loopwright_coordinator.inputs import ControlArrived, Woken
from table import TOUCH, Table

LAST = {"iterations": 1, "time": 600}


def verifying() -> Table:
    """A loop whose verdict of its last iteration is awaited."""
    table = Table(playbook_goal(budget=LAST))
    table.begin(), table.plan(), table.execute()
    return table


def test_a_cancel_comes_before_the_deadline() -> None:
    table = verifying()
    ended = table.event(ControlArrived(Cancel(id="cancel-01")), after_s=700)
    assert (ended.outcome, ended.reason) == ("cancelled", "requested")


def test_achieved_comes_before_a_budget_that_is_used_up() -> None:
    assert verifying().verdict("a", "b").outcome == "achieved"


def test_the_deadline_comes_before_a_budget_that_is_used_up() -> None:
    table = verifying()
    table.now += timedelta(seconds=700)
    ended = table.verdict("a")
    assert (ended.outcome, ended.reason) == ("deadline", "time")


def ended_after(iterations: int) -> Table:
    """A loop of a model that repeats itself, with a budget of so many iterations."""
    budget = {"iterations": iterations, "tokens": 1_000_000, "time": 6000}
    table = Table(model_goal(budget=budget, stuck={"repeats": 2}))
    table.begin()
    while table.loop.ended is None:
        table.plan(Plan(summary="s", actions=(TOUCH,))), table.execute(), table.verdict("a")
    return table


def test_a_budget_that_is_used_up_comes_before_stuck() -> None:
    stalled = ended_after(100).loop
    assert stalled.ended == "stalled"
    both = ended_after(stalled.iterations).loop
    assert (both.ended, both.reason) == ("exhausted", "iterations")


def test_the_deadline_comes_before_what_a_loop_waits_for() -> None:
    table = Table(playbook_goal(approvals=["plan"], on_exhausted="hold"))
    table.begin(), table.plan()
    ended = table.event(Woken(), after_s=700)
    assert (ended.outcome, ended.reason) == ("deadline", "time")
