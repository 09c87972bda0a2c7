"""JUnit reports: which tests ran, how they came out, and whether the wanted ones passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

Outcome = Literal["passed", "failed", "error", "skipped"]

#: A report is a few hundred bytes a test; what is larger is no report.
MAX_REPORT_BYTES = 16 * 1024 * 1024
#: Lines of a failure that are evidence enough.
FAILURE_LINES = 25
#: Failures that are shown.
SHOWN_FAILURES = 5


class ReportError(Exception):
    """There is no report that could be judged; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of a report."""

    name: str
    classname: str
    file: str
    outcome: Outcome
    detail: str = ""

    @property
    def id(self) -> str:
        """`file::Class::name` where the file is known, else `classname::name`."""
        if not self.file:
            return f"{self.classname}::{self.name}"
        module = self.file.removesuffix(".py").replace("/", ".")
        classes = self.classname.removeprefix(module).strip(".").replace(".", "::")
        return "::".join(part for part in (self.file, classes, self.name) if part)


def parse(report: bytes) -> list[Case]:
    """The tests of a report; ReportError where it is none."""
    if not report.strip():
        raise ReportError("the report is empty: the tests did not run to their end")
    if len(report) > MAX_REPORT_BYTES:
        raise ReportError(f"the report has more than {MAX_REPORT_BYTES} bytes")
    try:
        root = fromstring(report)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ReportError(f"the report is no JUnit XML: {error}") from error
    return [_case(element) for element in root.iter("testcase")]


def _case(element: Element) -> Case:
    outcome: Outcome = "passed"
    detail = ""
    for kind in ("failure", "error", "skipped"):
        found = element.find(kind)
        if found is not None:
            outcome = "failed" if kind == "failure" else ("error" if kind == "error" else "skipped")
            detail = "\n".join(filter(None, (found.get("message"), found.text)))
            break
    return Case(
        name=element.get("name", ""),
        classname=element.get("classname", ""),
        file=element.get("file", ""),
        outcome=outcome,
        detail=detail,
    )


def matching(cases: list[Case], wanted: str) -> list[Case]:
    """The tests that a name means: a full id, one from a deeper folder, `class::name`, or a name.

    A name without `[…]` means all parameters of a test.
    """

    def fits(text: str) -> bool:
        return text == wanted or text.endswith(f"/{wanted}")

    def names(case: Case) -> set[str]:
        bare = case.name.split("[", 1)[0]
        plain = case.id.removesuffix(case.name) + bare
        return {case.id, plain, f"{case.classname}::{case.name}", f"{case.classname}::{bare}"}

    found = [case for case in cases if any(map(fits, names(case)))]
    if found or "::" in wanted:
        return found
    return [case for case in cases if wanted in (case.name, case.name.split("[", 1)[0])]


def shortfalls(cases: list[Case], wanted: tuple[str, ...], min_tests: int) -> list[str]:
    """Why the tests do not show what they must; empty if they do. Skipped is not passed."""
    found = []
    if len(cases) < min_tests:
        found.append(f"{len(cases)} tests ran, at least {min_tests} must")
    for name in wanted:
        meant = matching(cases, name)
        if not meant:
            found.append(f"{name} did not run")
        elif "::" not in name and len({case.file or case.classname for case in meant}) > 1:
            found.append(f"{name} is ambiguous: name its file too")
        else:
            found += [f"{case.id} {case.outcome}" for case in meant if case.outcome != "passed"]
    if not wanted:
        found += [f"{case.id} {case.outcome}" for case in cases if case.outcome != "passed"]
    return list(dict.fromkeys(found))


def feedback(cases: list[Case]) -> str:
    """The failures as a planner needs them: test, message, file and line."""
    broken = [case for case in cases if case.outcome in ("failed", "error")]
    parts = []
    for case in broken[:SHOWN_FAILURES]:
        lines = case.detail.strip().splitlines()
        shown = lines if len(lines) <= FAILURE_LINES else [*lines[:3], "…", *lines[-FAILURE_LINES:]]
        parts.append("\n".join([f"{case.id} {case.outcome}:", *shown]))
    if len(broken) > SHOWN_FAILURES:
        parts.append(f"and {len(broken) - SHOWN_FAILURES} more")
    return "\n\n".join(parts)
