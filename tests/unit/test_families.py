"""Loops below a loop: slices carved and given back, joins, cascades, caps of the root."""

from __future__ import annotations

from typing import Any

import pytest

from family import Family
from loopwright.control import Amend, BudgetChange, Cancel, Pause, Resume
from loopwright.errors import GoalInvalidError
from loopwright.events import (
    ChildSettled,
    ExecutionRequested,
    LoopEnded,
    LoopHeld,
    PlanRequested,
    VerificationRequested,
)
from loopwright.family import ChildEnd
from loopwright.plan import Plan
from loopwright.testing import EPOCH, model_goal, playbook_goal
from loopwright.tools import Action
from loopwright_coordinator.inputs import Append, Begin, ChildEnded, Ignore, Woken
from table import R1, R2, TOUCH, Table

TWO = [{"name": "one"}, {"name": "two"}]


def race(**more: Any) -> dict[str, Any]:
    return {"pattern": "race", "children": TWO} | more


def family(pattern: dict[str, Any] | None = None, **goal: Any) -> Family:
    budget = {"iterations": 9, "actions": 20, "time": 600}
    return Family(playbook_goal(**({"budget": budget, "pattern": pattern or race()} | goal)))


def spawn(*names: str, **args: Any) -> Action:
    children = [{"name": name} for name in names]
    return Action(tool="spawn_loop", args={"children": children} | args)


def test_a_goal_with_a_pattern_begins_with_its_children_and_slices_of_its_budget() -> None:
    one = family()
    held = one.begin()
    assert held.hold == "awaiting_children"
    assert [child.slice.iterations for child in held.children] == [4, 4]
    assert [child.goal.budget.actions for child in held.children] == [10, 10]
    assert one.root.loop.reserved.actions == 20
    assert (one.root.loop.iteration, one.root.loop.iterations) == (1, 9)
    assert [table.loop.state for table in one.tables] == ["planning", "planning"]
    assert all(table.loop.deadline <= one.root.loop.deadline for table in one.tables)
    assert one.audits() == []


def test_a_share_that_is_stated_is_the_slice_and_the_others_have_equal_parts() -> None:
    children = [{"name": "a", "budget": {"actions": 2}}, {"name": "b"}, {"name": "c"}]
    held = family({"pattern": "best_of", "children": children}).begin()
    assert [child.slice.actions for child in held.children] == [2, 9, 9]


def test_what_is_left_of_a_slice_flows_back() -> None:
    one = family()
    one.begin()
    first = one.tables[0]
    one.achieve(first)
    one.tell(first)
    assert one.root.loop.spent.actions == 1
    assert one.root.loop.reserved.actions == 10
    assert one.root.loop.iterations == 1 + 1 + 4


def test_a_race_is_won_by_the_first_that_is_verified_and_the_rest_are_cancelled() -> None:
    one = family()
    one.begin()
    first, second = one.tables
    one.achieve(second, R2)
    assert isinstance(one.root.log.events[-1].data, LoopHeld)
    one.tell(second)
    assert one.cascade() == ["cancel"]
    assert first.loop.ended == "cancelled"
    decision = one.tell(first)
    assert isinstance(decision, Append)
    data = decision.data
    assert isinstance(data, ExecutionRequested)
    assert [(item.child.name, item.taken) for item in data.joined] == [
        ("one", False),
        ("two", True),
    ]
    assert isinstance(one.root.execute(R2), VerificationRequested)
    ended = one.root.verdict("a", "b", revision=R2)
    assert (ended.outcome, ended.iterations) == ("achieved", 1 + 1 + first.loop.iterations)
    assert one.audits() == []


def test_a_race_takes_over_no_work_that_was_not_verified() -> None:
    one = family()
    one.begin()
    for table in one.tables:
        table.work("a")
        one.cancel(table)
        decision = one.tell(table)
    assert isinstance(decision, Append)
    assert isinstance(decision.data, ExecutionRequested)
    assert not any(item.taken for item in decision.data.joined)


def test_the_parents_own_gate_decides_whatever_its_children_say() -> None:
    one = family()
    one.begin()
    first, second = one.tables
    one.achieve(first)
    one.tell(first)
    one.cascade()
    one.tell(second)
    one.root.execute(R1)
    after = one.root.verdict("a")
    assert isinstance(after, PlanRequested)
    assert one.root.loop.ended is None


def test_the_best_of_some_is_the_one_with_the_highest_score() -> None:
    one = family({"pattern": "best_of", "children": [*TWO, {"name": "three"}]})
    one.begin()
    first, second, third = one.tables
    first.work("a", revision=R1)
    one.cancel(first)
    one.achieve(second, R2)
    one.cancel(third)
    for table in (third, first):
        assert isinstance(one.root.log.events[-1].data, LoopHeld | ChildSettled)
        one.tell(table)
    decision = one.tell(second)
    assert isinstance(decision, Append)
    assert isinstance(decision.data, ExecutionRequested)
    taken = [item.child for item in decision.data.joined if item.taken]
    assert [(child.name, child.end and child.end.score) for child in taken] == [("two", 1.0)]


def test_a_map_starts_one_child_for_each_item_and_takes_over_all_their_work() -> None:
    each = {"name": "part-{item}", "objective": "Do {item}.", "into": "out/{item}"}
    one = family({"pattern": "map", "items": ["x", "y"], "children": [each]})
    held = one.begin()
    assert [c.goal.objective for c in held.children] == ["Do x.", "Do y."]
    for table in one.tables:
        one.achieve(table)
        decision = one.tell(table)
    assert isinstance(decision, Append)
    assert isinstance(decision.data, ExecutionRequested)
    assert [(i.child.into, i.taken) for i in decision.data.joined] == [
        ("out/x", True),
        ("out/y", True),
    ]


def nested(**goal: Any) -> Family:
    budget = {"iterations": 9, "actions": 20, "time": 600}
    more = {"budget": budget, "tools": ["shell", "spawn_loop"]} | goal
    return Family(playbook_goal(**more))


def started(*actions: Action, **goal: Any) -> Family:
    one = nested(**goal)
    one.root.begin()
    one.root.plan(Plan(summary="s", actions=actions, rule="work"))
    one.root.execute(R1)
    one.admit()
    return one


def test_a_plan_that_ends_with_a_spawn_waits_for_its_loop_and_takes_over_its_work() -> None:
    one = started(TOUCH, spawn("sub"))
    assert one.root.loop.state == "awaiting_children"
    assert one.tables[0].loop.goal.workspace.revision == R1
    one.achieve(one.tables[0], R2)
    decision = one.tell(one.tables[0])
    assert isinstance(decision, Append)
    assert isinstance(decision.data, ExecutionRequested)
    assert decision.data.grant.attempt == 2
    assert decision.data.grant.reserved.actions == 0
    one.root.execute(R2)
    assert [a.tool for a in one.root.loop.outcome.actions] == ["shell", "shell"]  # type: ignore[union-attr]
    assert one.root.verdict("a", "b", revision=R2).outcome == "achieved"
    assert one.audits() == []


@pytest.mark.parametrize(
    ("actions", "goal", "why"),
    [
        ((spawn("sub"), TOUCH), {}, "must be the plan's last action"),
        ((spawn("sub"),), {"nesting": {"depth": 0}}, "raise nesting.depth of the root"),
        ((spawn("a", "b", "c"),), {"nesting": {"fan_out": 2}}, "nesting.fan_out allows 2"),
        ((spawn("same", "same"),), {}, "used twice"),
        ((spawn("a", items=["x", "x"]),), {}, "used twice"),
    ],
)
def test_a_spawn_that_cannot_be_is_refused_before_anything_runs(
    actions: tuple[Action, ...], goal: dict[str, Any], why: str
) -> None:
    one = nested(**goal)
    one.root.begin()
    again = one.root.plan(Plan(summary="s", actions=actions, rule="work"))
    assert again.settles.status == "failed"
    assert why in again.settles.error.message


def test_fan_out_is_over_the_whole_life_of_a_loop() -> None:
    one = started(spawn("a", "b"), nesting={"fan_out": 3})
    for table in one.tables:
        one.cancel(table)
        one.tell(table)
    one.root.execute(R1, succeeded=False)
    again = one.root.plan(Plan(summary="s", actions=(spawn("c", "d"),), rule="work"))
    assert "2 loops are to be started after 2" in again.settles.error.message


def test_depth_and_fan_out_are_inherited_from_the_root() -> None:
    one = started(spawn("sub"), nesting={"depth": 2, "fan_out": 5})
    below = one.tables[0].loop.goal.nesting
    assert (below.depth, below.fan_out) == (1, 5)


def test_a_pattern_that_cannot_start_is_a_fault_of_the_goal() -> None:
    with pytest.raises(GoalInvalidError, match=r"nesting\.depth"):
        playbook_goal(pattern=race(), nesting={"depth": 0})
    with pytest.raises(GoalInvalidError, match="children"):
        playbook_goal(pattern={"children": [{"name": "x", "tools": ["no-such"]}]})


def test_a_parent_that_has_too_little_left_for_its_children_is_out_of_budget() -> None:
    ended = Table(playbook_goal(pattern=race(), budget={"iterations": 2, "time": 600})).begin()
    assert isinstance(ended, LoopEnded)
    assert (ended.outcome, ended.reason) == ("exhausted", "iterations")


def test_a_parent_out_of_budget_starts_its_children_when_it_gets_more() -> None:
    one = family(budget={"iterations": 2, "time": 600}, on_exhausted="hold")
    assert one.root.begin().hold == "budget_exhausted"
    more = Amend(id="more-0001", budget=BudgetChange(iterations=5))
    assert one.root.say(more).hold == "awaiting_children"


def test_no_slices_are_carved_after_the_deadline() -> None:
    one = nested()
    one.root.begin()
    one.root.plan(Plan(summary="s", actions=(spawn("sub"),), rule="work"))
    one.root.now = one.root.loop.deadline
    ended = one.root.execute(R1)
    assert (ended.kind, ended.outcome) == ("loop_ended", "deadline")


def test_a_parents_end_charges_the_open_slices_and_ends_its_children() -> None:
    one = family()
    one.begin()
    one.tables[0].work("a")
    ended = one.root.say(Cancel(id="cancel-root"))
    assert (ended.outcome, ended.spent.actions, ended.iterations) == ("cancelled", 20, 9)
    assert one.root.loop.reserved.actions == 0
    assert one.cascade() == ["cancel", "cancel"]
    assert [table.loop.ended for table in one.tables] == ["cancelled", "cancelled"]
    for table in one.tables:
        assert isinstance(one.tell(table), Ignore)
    assert one.audits() == []


def test_a_pause_goes_down_to_the_children_and_so_does_the_resume() -> None:
    one = family()
    one.begin()
    one.root.say(Pause(id="pause-root"))
    assert one.cascade() == ["pause", "pause"]
    one.root.say(Resume(id="resume-root"))
    assert one.root.loop.state == "awaiting_children"
    assert one.cascade() == ["resume", "resume"]
    assert {table.loop.state for table in one.tables} == {"planning"}


def test_a_child_whose_step_ends_while_it_is_paused_goes_on_with_its_parent() -> None:
    one = family()
    one.begin()
    one.root.say(Pause(id="pause-root"))
    one.cascade()
    for table in one.tables:
        table.plan()
        assert (table.loop.state, table.loop.open) == ("paused", None)
    one.root.say(Resume(id="resume-root"))
    assert one.cascade() == ["resume", "resume"]


def test_a_child_that_a_person_paused_stays_so_when_its_parent_goes_on() -> None:
    one = family()
    one.begin()
    one.tables[0].say(Pause(id="by-person"))
    one.root.say(Pause(id="pause-root"))
    assert one.cascade() == ["pause"]
    one.root.say(Resume(id="resume-root"))
    assert one.cascade() == ["resume"]
    assert one.tables[0].loop.state == "paused"


def test_children_that_end_while_their_parent_is_paused_are_joined_when_it_goes_on() -> None:
    one = family()
    one.begin()
    one.root.say(Pause(id="pause-root"))
    for table in one.tables:
        one.achieve(table)
        assert isinstance(one.tell(table), Append)
    assert one.root.loop.state == "paused"
    assert isinstance(one.root.say(Resume(id="resume-root")), ExecutionRequested)


def test_a_spawn_of_a_paused_loop_waits_for_its_resume() -> None:
    one = nested()
    one.root.begin()
    one.root.plan(Plan(summary="s", actions=(spawn("sub"),), rule="work"))
    one.root.say(Pause(id="pause-root"))
    held = one.root.execute(R1)
    assert (held.hold, held.children) == ("paused", ())
    held = one.root.say(Resume(id="resume-root"))
    assert (held.hold, len(held.children)) == ("awaiting_children", 1)


def test_the_end_of_a_child_counts_once() -> None:
    one = family()
    one.begin()
    one.achieve(one.tables[0])
    one.tell(one.tables[0])
    spent = one.root.loop.spent
    again = one.tell(one.tables[0])
    assert isinstance(again, Ignore)
    assert again.done
    assert one.root.loop.spent == spent


def test_a_childs_budget_cannot_be_made_larger_than_its_slice() -> None:
    one = family()
    one.begin()
    child = one.tables[0]
    refused = child.say(Amend(id="more-0001", budget=BudgetChange(actions=11)))
    assert isinstance(refused, Ignore)
    assert one.root.loop.id in refused.why
    assert child.say(Amend(id="less-0001", budget=BudgetChange(actions=9))).kind == (
        "loop_controlled"
    )


def test_a_deadline_that_was_put_off_does_not_end_a_loop_that_waits_for_its_children() -> None:
    one = family()
    one.begin()
    old = one.root.loop.deadline
    one.root.say(Amend(id="later-001", budget=BudgetChange(time=5000)))
    one.root.now = old
    one.root.give(Woken())
    assert one.root.loop.state == "awaiting_children"


def test_children_without_work_give_the_planner_a_failed_iteration() -> None:
    one = family()
    one.begin()
    for table in one.tables:
        one.cancel(table)
        decision = one.tell(table)
    assert isinstance(decision, Append)
    assert isinstance(decision.data, ExecutionRequested)
    assert not any(item.taken for item in decision.data.joined)
    assert isinstance(one.root.execute(R1, succeeded=False), PlanRequested)
    assert one.root.loop.join is None


def test_the_same_event_gives_the_same_ids_and_another_gives_others() -> None:
    ids = [[child.id for child in family().begin().children] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len({*ids[0]}) == 2
    other = Table(family().goal, now=EPOCH)
    other.give(Begin(), 2.0)
    held = other.log.events[-1].data
    assert isinstance(held, LoopHeld)
    assert not {child.id for child in held.children} & {*ids[0]}


def test_a_family_with_a_model_spends_within_the_roots_dollars() -> None:
    one = Family(model_goal(pattern=race()))
    held = one.begin()
    costs = [child.slice.cost_microusd for child in held.children]
    assert costs == [5000, 5000]
    assert all(table.loop.price == one.root.loop.price for table in one.tables)
    ended = one.root.give(
        ChildEnded(ChildEnd(id="nobody", outcome="achieved", reason="verified", iterations=1))
    )
    assert isinstance(ended, Ignore)
