"""Whoever asks for a step after the deadline ends the loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from loopwright.control import Amend, Approve, BudgetChange, Control, Pause, Reject, Resume, Retry
from loopwright.testing import EPOCH, playbook_goal
from loopwright_coordinator.inputs import Begin, Input
from table import Table

#: Longer than the goals below last, in seconds.
AGES = 1000.0


def working(role: str) -> Table:
    table = Table(playbook_goal(on_exhausted="hold"))
    table.begin()
    if role != "planner":
        table.plan()
    if role == "verifier":
        table.execute()
    return table


def paused(role: str) -> Table:
    table = working(role)
    table.say(Pause(id="pause-01", now=True))
    return table


def blocked(role: str) -> Table:
    table = working(role)
    table.fail("auth")
    return table


def asked(kind: str) -> tuple[Table, str]:
    table = Table(playbook_goal(approvals=[kind]))
    table.begin()
    table.plan()
    if kind == "result":
        table.execute()
        table.verdict("a", "b")
    assert table.loop.held is not None
    assert table.loop.held.wanted is not None
    return table, table.loop.held.wanted.of


ROLES = ("planner", "executor", "verifier")
HELD: dict[str, tuple[Callable[[str], Table], Control]] = {
    "resume": (paused, Resume(id="resume-01")),
    "retry": (blocked, Retry(id="retry-001")),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("word", HELD)
def test_nothing_is_granted_after_the_deadline(role: str, word: str) -> None:
    make, control = HELD[word]
    table = make(role)
    assert table.loop.step == role
    ended = table.say(control, after_s=AGES)
    assert (ended.kind, ended.outcome) == ("loop_ended", "deadline")
    assert table.loop.controls[-1] == control.id


@pytest.mark.parametrize("kind", ["plan", "result"])
def test_a_rejection_after_the_deadline_ends_the_loop(kind: str) -> None:
    table, of = asked(kind)
    ended = table.say(Reject(id="reject-01", of=of), after_s=AGES)
    assert (ended.kind, ended.outcome) == ("loop_ended", "deadline")


def test_a_plan_that_is_approved_after_the_deadline_is_not_run() -> None:
    table, of = asked("plan")
    ended = table.say(Approve(id="approve-1", of=of), after_s=AGES)
    assert (ended.kind, ended.outcome) == ("loop_ended", "deadline")


def test_an_amended_deadline_lets_a_loop_go_on_that_was_past_it() -> None:
    table = Table(playbook_goal(budget={"iterations": 1, "time": 600}, on_exhausted="hold"))
    table.begin()
    assert table.work("a").kind == "loop_held"
    more = Amend(id="amend-001", budget=BudgetChange(time=5000, iterations=2))
    assert table.say(more, after_s=AGES).kind == "plan_requested"


@pytest.mark.parametrize("received", [Begin()])
def test_a_loop_that_begins_after_its_deadline_ends(received: Input) -> None:
    table = Table(now=EPOCH)
    ended = table.event(received, after_s=AGES)
    assert (ended.kind, ended.outcome) == ("loop_ended", "deadline")


@pytest.mark.parametrize("role", ["planner", "executor"])
def test_what_comes_after_the_deadline_is_charged_and_ends_the_loop(role: str) -> None:
    table = working(role)
    table.now += timedelta(seconds=AGES)
    ended = table.plan() if role == "planner" else table.execute()
    assert (ended.kind, ended.outcome, ended.settles.status) == ("loop_ended", "deadline", "done")
