"""The rows of the table of mutants are true: each guard is there once, each test exists."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from mutation.mutant import ROOT, Mutant
from mutation.table import MUTANTS


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
