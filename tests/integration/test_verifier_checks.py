"""Each kind of check, passing, failing and on hostile content, in the real sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from judging import judged, one, performed
from loopwright.results import StepFailed

PEOPLE = "name,age,born\nAda,36,1815-12-10\nAlan,41,1912-06-23\n"
TABLE: dict[str, Any] = {"kind": "table", "path": "t.csv"}


@pytest.mark.parametrize(
    ("check", "status", "said"),
    [
        ({"kind": "file", "path": "t.csv", "min_bytes": 10}, "passed", "bytes"),
        ({"kind": "file", "path": "t.csv", "max_bytes": 10}, "failed", "at most 10"),
        ({"kind": "file", "path": "nope"}, "failed", "is not there"),
        ({"kind": "file", "path": "nope", "exists": False}, "passed", "is not there"),
        ({"kind": "file", "path": "t.csv", "sha256": "0" * 64}, "failed", "is wanted"),
        ({"kind": "file", "path": "../x"}, "failed", "not a path inside"),
        ({"kind": "regex", "path": "t.csv", "pattern": "^Ada"}, "passed", "found 1 ×"),
        ({"kind": "regex", "path": "t.csv", "pattern": "Bob"}, "failed", "found 0 ×"),
        ({"kind": "regex", "path": "t.csv", "pattern": "A", "max_count": 1}, "failed", "found 2 ×"),
        ({"kind": "regex", "path": "t.csv", "pattern": "("}, "error", "mend the goal"),
        (
            {"kind": "json_schema", "path": "j.json", "schema": {"type": "object"}},
            "passed",
            "valid",
        ),
        (
            {"kind": "json_schema", "path": "j.json", "schema": {"required": ["b"]}},
            "failed",
            "'b' is a required property",
        ),
        ({"kind": "json_schema", "path": "t.csv", "schema": {}}, "failed", "is no JSON"),
        (
            {"kind": "json_schema", "path": "j.json", "schema": {"type": 3}},
            "error",
            "mend the goal",
        ),
        (
            {"kind": "json_schema", "path": "j.json", "schema": {"$ref": "http://127.0.0.1/s"}},
            "error",
            "Unresolvable",
        ),
        (TABLE | {"columns": ["name", "age", "born"], "rows": {"exactly": 2}}, "passed", "2 rows"),
        (TABLE | {"columns": ["age", "name", "born"]}, "failed", "its columns are name, age, born"),
        (TABLE | {"types": {"age": "integer", "born": "date"}}, "passed", "2 rows"),
        (TABLE | {"types": {"name": "number"}}, "failed", "name is no number in 2 of 2 rows"),
        (TABLE | {"types": {"height": "number"}}, "failed", "there is no column height"),
        (TABLE | {"rows": {"min": 3}}, "failed", "at least 3"),
        (TABLE | {"not_null": ["name"], "unique": ["name"]}, "passed", "2 rows"),
        (TABLE | {"values": {"name": ["Ada"]}}, "failed", "'Alan'"),
        ({"kind": "table", "path": "gap.csv", "not_null": ["b"]}, "failed", "is missing in 1 of 2"),
        ({"kind": "table", "path": "gap.csv", "unique": ["a"]}, "failed", "repeat"),
        ({"kind": "table", "path": "j.json", "columns": ["a"]}, "passed", "1 rows"),
        ({"kind": "table", "path": "bad.csv", "columns": ["a"]}, "failed", "cannot be read"),
        ({"kind": "table", "path": "none.csv"}, "failed", "there is no file"),
        ({"kind": "table", "path": "x.xlsx"}, "failed", "is no table"),
        ({"kind": "command", "run": "grep -q Ada t.csv"}, "passed", "ended as wanted"),
        ({"kind": "command", "run": "exit 3", "exit_code": 3}, "passed", "ended as wanted"),
        ({"kind": "command", "run": "exit 3"}, "failed", "exit code 3"),
        ({"kind": "command", "run": "echo no", "stdout_matches": "yes"}, "failed", "not match"),
        ({"kind": "command", "run": "sleep 30", "timeout": 0.5}, "failed", "within 0.5 s"),
        ({"kind": "command", "run": "kill -9 $$"}, "failed", "signal"),
        ({"kind": "unchanged", "paths": ["*.csv"]}, "passed", "as they were"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_check_says_what_is_so(
    tmp_path: Path, check: dict[str, Any], status: str, said: str
) -> None:
    files = {
        "t.csv": PEOPLE,
        "j.json": '{"a": 1}',
        "gap.csv": "a,b\n1,\n1,2\n",
        "bad.csv": 'a,b\n1\n"2\n',
        "x.xlsx": "x",
    }
    found = await one(tmp_path, check, files)
    assert (found.status, said in found.message) == (status, True), found.message


@pytest.mark.parametrize(
    ("mine", "equals", "status"),
    [
        (PEOPLE, {}, "passed"),
        (PEOPLE.replace("36", "37"), {}, "failed"),
        (PEOPLE.replace("36", "36.0"), {}, "failed"),
        (PEOPLE.replace("36", "36.04"), {"tolerance": 0.05}, "passed"),
        (PEOPLE.replace("36", "NA"), {}, "failed"),
        ("name,age,born\nAlan,41,1912-06-23\nAda,36,1815-12-10\n", {}, "failed"),
        ("name,age,born\nAlan,41,1912-06-23\nAda,36,1815-12-10\n", {"ordered": False}, "passed"),
        (PEOPLE + "Bob,1,2000-01-01\n", {"ordered": False}, "failed"),
        (PEOPLE.replace("name", "who"), {}, "failed"),
    ],
)
async def test_agreement_with_the_held_out_table_is_row_for_row(
    tmp_path: Path, mine: str, equals: dict[str, Any], status: str
) -> None:
    check = TABLE | {"equals": {"reference": "r.csv", **equals}}
    found = await one(tmp_path, check, {"t.csv": mine}, held_out={"r.csv": PEOPLE})
    assert found.status == status, found.message


async def test_a_difference_does_not_tell_what_the_reference_says(tmp_path: Path) -> None:
    check = TABLE | {"equals": {"reference": "r.csv"}}
    mine = PEOPLE.replace("1815-12-10", "2000-01-01")
    found = await one(tmp_path, check, {"t.csv": mine}, held_out={"r.csv": PEOPLE})
    assert "row 1, born: '2000-01-01'" in found.message
    assert "1815" not in found.model_dump_json()


async def test_a_missing_reference_is_the_goals_fault(tmp_path: Path) -> None:
    check = TABLE | {"equals": {"reference": "nope.csv"}}
    found = await one(tmp_path, check, {"t.csv": PEOPLE}, held_out={"r.csv": PEOPLE})
    assert (found.status, "mend the goal" in found.message) == ("error", True)


async def test_a_check_that_breaks_the_inspector_takes_no_other_with_it(tmp_path: Path) -> None:
    files = {"a": "a" * 64 + "!", "deep.json": "[" * 200_000, "t.csv": PEOPLE}
    checks: list[dict[str, Any]] = [
        {"name": "deep", "kind": "json_schema", "path": "deep.json", "schema": {}},
        {"name": "fine", "kind": "file", "path": "t.csv"},
        {"name": "table", "kind": "table", "path": "t.csv", "rows": {"exactly": 2}},
    ]
    verdict = await judged(tmp_path, checks, before=files)
    assert [check.status for check in verdict.checks] == ["failed", "passed", "passed"]


@pytest.mark.parametrize("target", ["/etc/passwd", "other.csv"])
async def test_a_link_is_no_file(tmp_path: Path, target: str) -> None:
    def link(tree: Path) -> None:
        (tree / "t.csv").unlink()
        (tree / "t.csv").symlink_to("other.csv")

    found = await one(
        tmp_path, TABLE | {"rows": {"min": 0}}, {"t.csv": PEOPLE, "other.csv": PEOPLE}, change=link
    )
    assert (found.status, "link" in found.message) == ("failed", True)


async def test_unchanged_names_what_was_changed_added_and_deleted(tmp_path: Path) -> None:
    def change(tree: Path) -> None:
        (tree / "tests/a.py").write_text("changed")
        (tree / "tests/b.py").unlink()
        (tree / "tests/c.py").write_text("added")

    files = {"tests/a.py": "a", "tests/b.py": "b", "x": "x"}
    found = await one(tmp_path, {"kind": "unchanged", "paths": ["tests/**"]}, files, change=change)
    assert found.status == "failed"
    for text in ("tests/a.py modified", "tests/b.py deleted", "tests/c.py added"):
        assert text in found.message


async def test_a_stopped_verification_gives_no_verdict(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    check = {"name": "c", "kind": "command", "run": "sleep 60"}
    answer = await performed(tmp_path, [check], stop=stop)
    assert isinstance(answer.body, StepFailed)
    assert (answer.body.error.kind, "stopped" in answer.body.error.message) == ("timeout", True)
