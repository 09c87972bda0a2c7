"""What a goal may say, and what is said of a wrong one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import GoalInvalidError
from loopwright.goal import Goal, digest_of, parse_goal
from loopwright.testing import model_goal, playbook_goal
from loopwright.wire import parse_duration
from loopwright.wording import EXAMPLES


def faults(data: Any, *, packed: bool = False) -> dict[str, str]:
    with pytest.raises(GoalInvalidError) as caught:
        parse_goal(data, packed=packed)
    return {fault.path: fault.message for fault in caught.value.faults}


def goal_data(**changes: Any) -> dict[str, Any]:
    return playbook_goal().model_dump(mode="json", exclude_none=True, by_alias=True) | changes


def test_every_fault_is_reported_at_its_path() -> None:
    data = goal_data(name="", objctive="x", budget={"iterations": 0, "time": "soon"})
    found = faults(data)
    assert set(found) == {"name", "objctive", "budget.iterations", "budget.time"}
    assert "no such field" in found["objctive"]
    assert "90s, 10m or 2h" in found["budget.time"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"tools": ["shell", "telnet"]}, "tools[1]"),
        ({"workspace": {"folder": "a", "files": {}}}, "workspace"),
        ({"verify": {"checks": []}}, "verify.checks"),
        (
            {"verify": {"checks": [{"name": "a", "kind": "file", "path": "a", "required": False}]}},
            "verify.checks",
        ),
        (
            {"verify": {"checks": [{"name": "a", "kind": "file", "path": "a"}] * 2}},
            "verify.checks[1].name",
        ),
        (
            {"verify": {"checks": [{"name": "a", "kind": "test_report"}]}},
            "verify.checks[0]",
        ),
        (
            {
                "verify": {
                    "checks": [
                        {"name": "a", "kind": "table", "path": "t", "equals": {"reference": "r"}}
                    ]
                }
            },
            "verify.checks[0].equals.reference",
        ),
    ],
)
def test_names_that_do_not_fit_together_are_faults(changes: Any, path: str) -> None:
    assert path in faults(goal_data(**changes))


def test_a_rule_that_names_an_unknown_check_is_a_fault() -> None:
    data = goal_data()
    data["planner"]["rules"][0]["when"] = {"failing": ["a", "c"]}
    data["planner"]["rules"][0]["do"] = [{"tool": "shell", "args": {"walk": "x"}}]
    found = faults(data)
    assert "there are: a, b" in found["planner.rules[0].when.failing[1]"]
    assert "planner.rules[0].do[0].args.run" in found


def test_a_rule_that_never_applies_is_a_fault() -> None:
    data = goal_data()
    data["planner"]["rules"][0]["when"] = {}
    assert "would never apply" in faults(data)["planner.rules[0].when"]


def test_a_model_without_a_budget_is_a_fault() -> None:
    data = model_goal().model_dump(mode="json", exclude_none=True) | {"budget": {"iterations": 3}}
    assert "set budget.usd" in faults(data)["budget"]


def test_a_folder_does_not_travel() -> None:
    data = goal_data(workspace={"folder": "input"})
    assert parse_goal(data).workspace.folder == "input"
    assert "cannot travel" in faults(data, packed=True)["workspace.folder"]


def test_what_is_not_json_is_one_fault() -> None:
    assert "Invalid JSON" in faults(b"{nope")[""]


def test_the_digest_leaves_the_id_out() -> None:
    goal = playbook_goal()
    named = goal.model_copy(update={"id": "01JQZZZZZZZZZZZZZZZZZZZZZZ"})
    assert goal.digest() == named.digest()
    assert goal.digest() != playbook_goal(name="another").digest()


def test_a_goal_survives_the_wire() -> None:
    for goal in (playbook_goal(), model_goal()):
        assert Goal.model_validate_json(goal.model_dump_json(exclude_none=True)) == goal


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_arguments_of_any_shape_survive_the_wire(args: dict[str, Any]) -> None:
    data = goal_data()
    check = {"name": "c", "kind": "json_schema", "path": "p", "schema": args}
    data["verify"]["checks"].append(check)
    goal = parse_goal(data)
    again = Goal.model_validate_json(goal.model_dump_json(exclude_none=True, by_alias=True))
    assert again.digest() == goal.digest()


@given(st.dictionaries(st.text(), json_values))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600), ("250ms", 0.25)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(json_values)
def test_anything_at_all_gives_faults_or_a_goal(value: Any) -> None:
    try:
        parse_goal(value)
    except GoalInvalidError as error:
        assert error.faults  # noqa: PT017 - either way is right; the point is that nothing else escapes


WHOLE: dict[str, Any] = {
    "name": "n",
    "objective": "o",
    "planner": {
        "backend": "playbook",
        "rules": [
            {"name": "r", "when": {"start": True}, "do": [{"tool": "shell", "args": {"run": "x"}}]}
        ],
    },
    "verify": {"checks": [{"name": n, "kind": "file", "path": n} for n in ("a", "b")]},
    "budget": {"tokens": 1000},
}
COMMAND = {"name": "a", "kind": "command", "run": "make"}


@pytest.mark.parametrize(("path", "example"), EXAMPLES.items())
def test_an_example_of_a_field_is_itself_valid(path: str, example: str) -> None:
    goal = deepcopy(WHOLE)
    *above, _ = path.split(".")
    if example.startswith("workspace:"):
        above = []
    at: Any = goal
    for name in above:
        at = at[name][0] if isinstance(at[name], list) else at[name]
    if path in ("verify.checks.timeout", "verify.checks.run"):
        at.clear()
        at.update(COMMAND)
    if path == "planner.model":
        at["backend"] = "openai"
        del at["rules"]
    at.update(yaml.safe_load(example.replace(" on:", ' "on":')))
    assert parse_goal(goal).name in ("n", "tidy-table")


def test_a_wrong_value_is_told_with_an_example() -> None:
    with pytest.raises(GoalInvalidError) as caught:
        parse_goal(WHOLE | {"budget": {"time": "soon"}, "on_exhausted": "explode"})
    said = {fault.path: fault.message for fault in caught.value.faults}
    assert "for example `time: 10m`" in said["budget.time"]
    assert "for example `on_exhausted: hold`" in said["on_exhausted"]
