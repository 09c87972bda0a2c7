"""The rows of the table of mutants are true: each guard is there once, each test exists."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from mutation.mutant import ROOT, Mutant
from mutation.table import MUTANTS
from mutation.tree import judged, passed


def defined_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, found)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_guard_that_a_mutant_takes_out_is_there_once(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.applied(source) != source
    file, *names = mutant.test.split("[")[0].split("::")
    assert set(names) <= defined_in(file)


def test_no_two_mutants_have_one_name() -> None:
    assert [name for name, n in Counter(m.name for m in MUTANTS).items() if n > 1] == []


def test_a_guard_that_is_not_there_is_told() -> None:
    mutant = Mutant("name", "file", "guard", "", "test")
    for source in ("", "guard guard"):
        with pytest.raises(ValueError, match="times, not once"):
            mutant.applied(source)


RED = "FAILED tests/unit/test_a.py::test_b - AssertionError"


@pytest.mark.parametrize(
    ("code", "said", "verdict"),
    [
        (1, f"F\n{RED}\n1 failed", "caught"),
        (None, "", "hung"),
        (1, "+++++ Timeout +++++\nstacks", "hung"),
        (0, "1 passed", "MISSED"),
        (1, "ERROR tests/unit/test_a.py::test_b - OSError: no server", "ERROR"),
        (2, "ERROR tests/unit/test_a.py - SyntaxError", "ERROR"),
        (4, "ERROR: not found: tests/unit/test_a.py::test_b", "ERROR"),
        (-11, "", "ERROR"),
    ],
)
def test_only_a_failure_in_a_test_that_ran_proves_a_guard(
    code: int | None, said: str, verdict: str
) -> None:
    found = judged(code, said)
    assert found.verdict == verdict
    assert found.proven == (verdict in ("caught", "hung"))


def test_a_test_that_fails_with_every_guard_in_proves_nothing() -> None:
    report = """<testsuites><testsuite>
        <testcase classname="tests.unit.test_a" name="test_b[one]" time="1.5"/>
        <testcase classname="tests.unit.test_a" name="test_b[two]" time="0.5"/>
        <testcase classname="tests.unit.test_a" name="test_c" time="1"><failure/></testcase>
        <testcase classname="tests.unit.test_a" name="test_d" time="1"><skipped/></testcase>
        </testsuite></testsuites>"""
    file = "tests/unit/test_a.py"
    nodes = ["::test_b", "::test_b[two]", "::test_c", "::test_d", "::test_e", ""]
    found = passed(report, [file + node for node in nodes])
    assert found == {f"{file}::test_b": 2.0, f"{file}::test_b[two]": 0.5}
