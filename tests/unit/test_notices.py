"""What of a loop's log people are told: each thing once, and nothing that is none of theirs."""

from __future__ import annotations

from typing import Any

from family import Family
from loopwright.control import Pause
from loopwright.events import LoopAdmitted
from loopwright.service.consumers import NEWS
from loopwright.testing import playbook_goal
from loopwright_state.notices import notifications
from table import Table


def told(table: Table) -> list[tuple[str, str]]:
    """Kind and hold of each notification of a log, in order."""
    first = table.log.events[0].data
    assert isinstance(first, LoopAdmitted)
    return [
        (str(item.kind), str(item.hold or ""))
        for event in table.log.events
        if event.data.kind in NEWS
        for item in notifications(event, first)
    ]


def two(pattern: str = "race", **goal: Any) -> Family:
    """A loop with two below it."""
    children = {"pattern": pattern, "children": [{"name": "a"}, {"name": "b"}]}
    return Family(playbook_goal(pattern=children, **goal))


def test_a_loop_that_waits_for_its_children_is_no_news() -> None:
    one = two(budget={"iterations": 9, "actions": 20, "time": 600})
    one.begin()
    assert told(one.root) == []


def test_a_pause_is_told_once_though_a_step_ran_when_it_was_said() -> None:
    table = Table()
    table.begin()
    table.say(Pause(id="pause-0001"))
    table.plan()
    assert table.loop.state == "paused"
    assert table.loop.held is not None
    assert "go on with: loopwright resume" in table.loop.held.detail
    assert told(table) == [("hold", "paused")]


def test_a_warning_that_comes_with_a_childs_end_is_told() -> None:
    one = two(pattern="best_of", budget={"iterations": 9, "actions": 2, "time": 600})
    one.begin()
    one.achieve(one.tables[0])
    one.tell(one.tables[0])
    newest = one.root.log.events[-1].data
    assert (newest.kind, [w.budget for w in newest.warnings]) == ("child_settled", ["actions"])
    assert told(one.root) == [("warning", "")]


def test_every_event_that_may_warn_is_read() -> None:
    assert {"plan_requested", "loop_held", "loop_controlled", "child_settled"} <= set(NEWS)


def test_an_end_is_told() -> None:
    table = Table(playbook_goal())
    table.begin()
    table.work("a", "b")
    assert told(table)[-1] == ("end", "")
