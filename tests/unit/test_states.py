"""The table of states: what the decisions do is in it, and what is in it is done."""

from __future__ import annotations

import pytest

from loopwright.chain import event_type
from loopwright.errors import UnreadableError
from loopwright.events import LoopHeld
from loopwright.loop import apply
from loopwright.states import STATES, TRANSITIONS, diagram, may_follow
from loopwright.testing import EPOCH
from table import Table


def test_every_state_can_be_entered_and_left() -> None:
    entered = {after for _, after in TRANSITIONS} | {"admitted"}
    left = {before for before, _ in TRANSITIONS} | {"ended"}
    assert entered == left == set(STATES)


def test_nothing_follows_an_end() -> None:
    assert not [after for after in STATES if may_follow("ended", after)]


def test_every_state_that_waits_can_be_ended() -> None:
    assert all(may_follow(state, "ended") for state in STATES if state != "ended")


def test_a_log_with_a_change_that_is_not_in_the_table_is_refused() -> None:
    table = Table()
    held = LoopHeld(hold="awaiting_approval", until=EPOCH)
    with pytest.raises(UnreadableError, match="awaiting_approval cannot follow admitted"):
        apply(table.loop, held, EPOCH)


def test_the_diagram_has_every_change_once() -> None:
    lines = diagram().splitlines()
    for before, after in TRANSITIONS:
        assert lines.count(f"    {before} --> {after}") == 1


def test_event_types_are_versioned() -> None:
    assert event_type("loop_held") == "dev.loopwright.loop_held.v1"
