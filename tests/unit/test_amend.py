"""`loopwright amend`: every cap and limit that can be changed has its option."""

from __future__ import annotations

import inspect

import pytest

from loopwright.control import BudgetChange, LimitsChange
from loopwright.testing import playbook_goal
from loopwright_cli.commands.amend import DURATIONS, amend, change
from table import Table


def test_every_cap_and_every_limit_has_an_option() -> None:
    options = set(inspect.signature(amend).parameters)
    assert {*BudgetChange.model_fields, *LimitsChange.model_fields} <= options


def test_every_limit_is_set_and_raised() -> None:
    table = Table(playbook_goal())
    loop = table.loop
    for name in LimitsChange.model_fields:
        now = getattr(loop.limits, name)
        set_to, raised = ("11s", "+1m") if name in DURATIONS else ("11", "+1")
        value = 50 if name == "memory_mb" else 11
        made = change(loop, {name: set_to if value == 11 else "50"}, "")
        assert getattr(made.limits, name) == value
        more = change(loop, {name: raised}, "").limits
        assert getattr(more, name) == now + (60 if name in DURATIONS else 1)
        assert more.model_dump(exclude_none=True).keys() == {name}


@pytest.mark.parametrize("value", ["many", "+many", "0"])
def test_what_is_no_such_value_is_an_error(value: str) -> None:
    with pytest.raises(ValueError):
        change(Table(playbook_goal()).loop, {"processes": value}, "")
