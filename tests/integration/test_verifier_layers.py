"""The layers of verification between content and judges: what each passes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from judging import Judges, ballot, judged, one, outcome_of
from loopwright.checks import Check, HttpCheck
from loopwright_verifier.contents import ContentCheck, inspect
from loopwright_verifier.core import with_places
from loopwright_verifier.inspection import Inspection
from loopwright_verifier.probe import Probe

CHECK: TypeAdapter[Any] = TypeAdapter(Check)
TABLE = "name,n\nAda,1\nBob,2\n"


def inspected(tree: Path, check: dict[str, Any], *changed: str) -> Any:
    """A content check in this process: the files here are no enemy's."""
    made: ContentCheck = CHECK.validate_python({"name": "c", **check})
    return inspect(made, tree, tree, changed)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"query": "SELECT * FROM t WHERE n < 1"}, "passed"),
        ({"query": "SELECT * FROM t WHERE n < 2"}, "failed"),
        ({"query": "SELECT * FROM t", "rows": {"exactly": 2}}, "passed"),
        ({"query": "SELECT sum(n) FROM t", "value": "3"}, "passed"),
        ({"query": "SELECT sum(n) FROM t", "value": "4"}, "failed"),
        ({"query": "SELECT 1; SELECT 2"}, "failed"),
        ({"query": "SELECT * FROM read_csv('/etc/passwd')"}, "failed"),
        ({"query": "COPY t TO 'out.csv'"}, "failed"),
        ({"query": "SELECT"}, "failed"),
    ],
)
def test_a_query_sees_its_tables_and_nothing_else(
    tmp_path: Path, more: dict[str, Any], status: str
) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    found = inspected(tmp_path, {"kind": "sql", "tables": {"t": "t.csv"}, **more})
    assert found.status == status, found.message
    assert not (tmp_path / "out.csv").exists()


def test_what_a_held_out_table_says_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "want.csv").write_text("name,n\nAda,7777\n")
    check = {
        "kind": "sql",
        "tables": {"t": "t.csv"},
        "references": {"want": "want.csv"},
        "query": "SELECT want.n FROM t JOIN want USING (name)",
    }
    for more in ({}, {"value": "1"}):
        found = inspected(tmp_path, check | more)
        assert found.status == "failed"
        assert "7777" not in found.model_dump_json()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"a": [{"b": 0.5}]}', "passed"),
        ('{"a": [{"b": 0.4}]}', "failed"),
        ('{"a": [{"b": true}]}', "failed"),
        ('{"a": [{"b": "0.5"}]}', "failed"),
        ('{"a": [{"b": NaN}]}', "failed"),
        ('{"a": []}', "failed"),
        ("no", "failed"),
    ],
)
def test_a_metric_is_one_finite_number(tmp_path: Path, text: str, status: str) -> None:
    (tmp_path / "m.json").write_text(text)
    check = {"kind": "metric", "path": "m.json", "json_path": "a[0].b", "min": 0.5}
    found = inspected(tmp_path, check)
    assert (found.status, found.value) == (status, found.value)
    assert (found.value == 0.5) == (status == "passed")


def test_two_different_numbers_are_none(tmp_path: Path) -> None:
    check = {"kind": "metric", "path": "m.txt", "pattern": r"acc (\S+)", "min": 0.5}
    (tmp_path / "m.txt").write_text("acc 0.9\nacc 0.9\n")
    assert inspected(tmp_path, check).status == "passed"
    (tmp_path / "m.txt").write_text("acc 0.1\nacc 0.9\n")
    assert "2 different numbers" in inspected(tmp_path, check).message


def test_a_secret_is_found_where_it_stands_and_never_told(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    (tmp_path / "a.py").write_text(f"# one\nTOKEN = {token!r}\n")
    found = inspected(tmp_path, {"kind": "secrets"}, "a.py")
    assert (found.status, found.places[0].path, found.places[0].line) == ("failed", "a.py", 2)
    assert token not in found.model_dump_json()
    assert inspected(tmp_path, {"kind": "secrets", "allow": ["a.py"]}, "a.py").status == "passed"
    assert inspected(tmp_path, {"kind": "secrets"}).status == "passed"  # it was there before


async def test_a_check_that_comes_out_differently_is_flaky_and_failed(tmp_path: Path) -> None:
    counter = tmp_path / "turns"
    counter.mkdir()
    counter.chmod(0o777)
    # Each run is on a tree of its own, so what differs must come from elsewhere: the clock.
    run = "test $(($(date +%s%N) / 1000 % 2)) = 0"
    check = {"kind": "command", "run": run, "repeat": 10}
    while True:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        folder.mkdir()
        found = await one(folder, check, {})
        assert found.status == "failed" or not found.flaky
        if found.flaky:
            break
    assert "flaky: it passed" in found.message


def test_a_server_that_is_not_allowed_is_not_asked() -> None:
    probe = Probe(frozenset({"a.example", "b.example:8080"}), Inspection(None))  # type: ignore[arg-type]
    allowed = ("https://a.example/x", "http://a.example", "http://b.example:8080/")
    refused = (
        "http://a.example:81",
        "http://b.example",
        "http://x@c.example",
        "http://a.example.c",
    )
    assert [probe.allows(url) for url in (*allowed, *refused)] == [True] * 3 + [False] * 4


async def test_the_refusal_names_the_setting(tmp_path: Path) -> None:
    check = {"kind": "http", "url": "http://127.0.0.1:9/", "name": "c"}
    assert HttpCheck.model_validate(check).status == 200
    verdict = await judged(tmp_path, [check])
    assert verdict.checks[0].status == "error"
    assert "LOOPWRIGHT_HTTP_ALLOW" in verdict.checks[0].message


async def test_invariants_are_of_the_revision(tmp_path: Path) -> None:
    checks: list[dict[str, Any]] = [
        {"name": "small", "kind": "size", "max_files": 2, "max_changed": 1},
        {"name": "told", "kind": "consistency"},
        {"name": "kept", "kind": "unchanged", "paths": ["a"]},
    ]
    told = {"outcome": lambda revision: outcome_of(revision)}
    verdict = await judged(
        tmp_path,
        checks,
        before={"a": "1"},
        change=lambda tree: (tree / "b").write_text("2"),
        data=told,
    )
    assert verdict.failing == ()
    assert (verdict.changed_paths, verdict.changes[0].path) == (1, "b")


async def test_an_outcome_that_tells_another_story_is_refused(tmp_path: Path) -> None:
    ran = {"tool": "shell", "status": "succeeded"}
    for index, lie in enumerate(({"tree": "0" * 40}, {"actions": [ran]}, {"revision": "b" * 40})):
        folder = tmp_path / str(index)
        folder.mkdir()
        told = {"outcome": lambda revision, lie=lie: outcome_of(**{"revision": revision} | lie)}
        verdict = await judged(folder, [{"name": "c", "kind": "consistency"}], data=told)
        assert verdict.failing == ("c",), lie


async def test_an_approval_is_asked_of_a_person_alone(tmp_path: Path) -> None:
    checks: list[dict[str, Any]] = [
        {"name": "there", "kind": "file", "path": "a"},
        {"name": "agreed", "kind": "approval", "ask": "Ship it?"},
        {"name": "nice", "kind": "judge", "rubric": "Nice.", "max_input_tokens": 8000},
    ]
    quote = ("a", "a very nice text")
    judges = Judges(ballot(True, quote))
    verdict = await judged(tmp_path, checks, before={"a": "a very nice text"}, judges=judges)
    assert verdict.failing == ("agreed",)
    assert verdict.score == 1.0  # what a person decides counts for no score


def test_lines_of_the_workspace_are_named() -> None:
    found = json.loads(
        '{"name": "c", "status": "failed", "message": "1 failed", "excerpt": '
        '"src/a.py:12:3: error: no\\n/usr/lib/x.py:1: no\\nTime 12:30: no"}'
    )
    from loopwright.plan import CheckResult

    result = with_places(CheckResult.model_validate(found), {"src/a.py", "b.py"})
    assert [(place.path, place.line) for place in result.places] == [("src/a.py", 12)]
    assert result.message == "1 failed; at src/a.py:12"
