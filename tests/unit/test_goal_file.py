"""Goal files: every fault at its line, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installation import ROOT
from loopwright.errors import Fault, GoalInvalidError
from loopwright.files import read_goal

GOAL = """\
version: 1
name: greeting
objective: hello
planner:
  backend: playbook
  rules:
    - name: r
      when: {start: true}
      do:
        - {tool: shell, args: {run: "true"}}
verify:
  checks:
    - {name: a, kind: file, path: a}
"""


def faults(folder: Path, text: str | bytes) -> list[Fault]:
    path = folder / "goal.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GoalInvalidError) as caught:
        read_goal(path)
    return caught.value.faults


def test_a_goal_is_read(tmp_path: Path) -> None:
    path = tmp_path / "goal.yaml"
    path.write_text(GOAL)
    assert read_goal(path).name == "greeting"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("objective: hello", "objectve: hello", 3, "did you mean `objective`?"),
        ("name: greeting", "name: 3", 2, "string"),
        ("start: true", "failing: [b]", 8, "there are: a"),
        ("kind: file", "kind: fiel", 13, "'file'"),
        ("tool: shell", "tool: bash", 10, "there are: shell"),
        ("version: 1", "version: 2", 1, "1"),
        ("path: a}", "path: a, path: b}", 13, "given twice"),
        ("  checks:", "\tchecks:", 12, "no YAML"),
        ("verify:", "budget: {time: soon}\nverify:", 11, "90s"),
    ],
)
def test_a_fault_is_at_its_line_and_says_what_is_allowed(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    found = faults(tmp_path, GOAL.replace(old, new))
    assert any(fault.line == line and said in fault.message for fault in found), found


def test_on_is_a_name_in_a_goal_file(tmp_path: Path) -> None:
    path = tmp_path / "goal.yaml"
    path.write_text(GOAL + "notify:\n  - {webhook: 'https://example.com/hook', on: [hold, end]}\n")
    assert read_goal(path).notify[0].on == ("hold", "end")


def test_a_playbook_that_cannot_begin_is_refused(tmp_path: Path) -> None:
    found = faults(tmp_path, GOAL.replace("start: true", "failing: [a]"))
    assert [fault.path for fault in found] == ["planner.rules"]
    assert "when: {start: true}" in found[0].message


def test_several_faults_come_at_once(tmp_path: Path) -> None:
    text = GOAL.replace("name: greeting", "name: 3").replace("kind: file", "kind: fiel")
    assert {2, 13} <= {fault.line for fault in faults(tmp_path, text)}


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"- 1", b"a: &x [*x]", b"[" * 5000, b"a" * 2**21]
)
def test_what_is_no_goal_file_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    assert all(fault.message for fault in faults(tmp_path, text))


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(GoalInvalidError, match="loopwright init"):
        read_goal(tmp_path / "none.yaml")
    with pytest.raises(GoalInvalidError, match="directory"):
        read_goal(tmp_path)


def test_a_model_can_be_named_for_a_goal_that_has_one(tmp_path: Path) -> None:
    example = ROOT / "examples/write-code/goal.yaml"
    assert getattr(read_goal(example, model="other").planner, "model", None) == "other"
    path = tmp_path / "goal.yaml"
    path.write_text(GOAL)
    with pytest.raises(GoalInvalidError, match="backend: openai"):
        read_goal(path, model="other")


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_goal_or_faults(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(body)
    with pytest.raises(GoalInvalidError):
        read_goal(path)
