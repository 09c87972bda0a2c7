"""Reports: what ran, what a name means, and what is not enough."""

from __future__ import annotations

import pytest

from loopwright_verifier.junit import Case, ReportError, feedback, matching, parse, shortfalls

REPORT = b"""<?xml version="1.0"?>
<testsuites><testsuite name="pytest" tests="5">
<testcase classname="test_area" name="test_square" file="test_area.py" line="3"/>
<testcase classname="test_area" name="test_circle[1]" file="test_area.py"/>
<testcase classname="test_area" name="test_circle[2]" file="test_area.py">
  <failure message="assert 3 == 4">test_area.py:9: AssertionError</failure></testcase>
<testcase classname="sub.test_area.TestDeep" name="test_square" file="sub/test_area.py">
  <skipped message="not today"/></testcase>
<testcase classname="test_area" name="test_broken" file="test_area.py">
  <error message="boom"/></testcase>
</testsuite></testsuites>"""
CASES = parse(REPORT)


def test_every_outcome_is_read() -> None:
    assert [case.outcome for case in CASES] == ["passed", "passed", "failed", "skipped", "error"]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_area.py::test_square", ["test_area.py::test_square"]),
        (
            "test_area.py::test_circle",
            ["test_area.py::test_circle[1]", "test_area.py::test_circle[2]"],
        ),
        ("test_area.py::test_circle[1]", ["test_area.py::test_circle[1]"]),
        ("sub/test_area.py::TestDeep::test_square", ["sub/test_area.py::TestDeep::test_square"]),
        ("test_area.py::TestDeep::test_square", ["sub/test_area.py::TestDeep::test_square"]),
        ("test_area::test_broken", ["test_area.py::test_broken"]),
        ("test_broken", ["test_area.py::test_broken"]),
        ("test_circ", []),
        ("area.py::test_square", []),
    ],
)
def test_a_name_means_these_tests(name: str, ids: list[str]) -> None:
    assert [case.id for case in matching(CASES, name)] == ids


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (("test_area.py::test_square",), None),
        (("test_area.py::test_missing",), "did not run"),
        (("test_area.py::test_circle",), "failed"),
        (("test_area.py::TestDeep::test_square",), "skipped"),
        (("test_broken",), "error"),
        (("test_square",), "ambiguous"),
        ((), "failed"),
    ],
)
def test_only_tests_that_ran_and_passed_are_enough(
    wanted: tuple[str, ...], said: str | None
) -> None:
    found = shortfalls(CASES, wanted, 1)
    assert (found == []) if said is None else any(said in sentence for sentence in found)


def test_too_few_tests_are_not_enough() -> None:
    assert "at least 3 must" in shortfalls([Case("a", "c", "f.py", "passed")], (), 3)[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"<testsuites><testcase",
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuites>&a;</testsuites>',
        b"x" * (17 * 1024 * 1024),
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ReportError):
        parse(body)


def test_feedback_names_the_test_the_message_and_the_line() -> None:
    text = feedback(CASES)
    assert "test_area.py::test_circle[2] failed:" in text
    assert "assert 3 == 4" in text
    assert "test_area.py:9" in text
