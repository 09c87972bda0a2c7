"""Checks that run something in the sandbox, and the one that asks a server outside of it."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from loopwright.checks.named import NamedCheck, RelativePath, RunningCheck
from loopwright.wire import Json, Seconds


class TestReportCheck(RunningCheck):
    """Run tests and judge the named ones by their JUnit report, never by an exit code alone."""

    kind: Literal["test_report"]
    run: str | None = None
    """A command line that writes a JUnit XML report to `$LOOPWRIGHT_REPORT`.

    Without it, pytest runs on `paths` with its configuration and import path fixed by the verifier.
    """
    paths: tuple[RelativePath, ...] = ()
    """Test files or folders for pytest."""
    tests: tuple[str, ...] = Field(default=(), max_length=2000)
    """Tests that must have run and passed, as `test_area.py::test_square` or `class::name`.

    Empty: every test in the report, at least `min_tests` of them.
    """
    min_tests: int = Field(default=1, ge=1)
    """Fewer tests in the report than this is a failure."""


class CommandCheck(RunningCheck):
    """Run a command line and judge its exit code and, if wanted, what it prints."""

    kind: Literal["command"]
    run: str = Field(min_length=1)
    exit_code: int = 0
    stdout_matches: str | None = None
    """A regular expression that standard output must contain."""


class MeasureCheck(RunningCheck):
    """Run a command line; a number that it prints is high or low enough."""

    kind: Literal["measure"]
    run: str = Field(min_length=1)
    pattern: str = Field(
        default=r"(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)", min_length=1, max_length=1000
    )
    """A regular expression with one group, the number; all that it finds must be equal."""
    min: float | None = Field(default=None, allow_inf_nan=False)
    """At least this."""
    max: float | None = Field(default=None, allow_inf_nan=False)
    """At most this."""


class HttpCheck(NamedCheck):
    """A server answers as wanted. The verifier asks, outside of the sandbox, without redirects.

    Only hosts that the installation allows (`LOOPWRIGHT_HTTP_ALLOW`) are asked.
    """

    kind: Literal["http"]
    url: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000)
    method: Literal["GET", "HEAD", "POST"] = "GET"
    body: str | None = Field(default=None, max_length=20_000)
    status: int = Field(default=200, ge=100, le=599)
    matches: str | None = Field(default=None, min_length=1, max_length=1000)
    """A regular expression that the answer's body must contain."""
    json_schema: dict[str, Json] | None = Field(default=None, alias="schema")
    """A JSON Schema (draft 2020-12) under which the body is valid."""
    timeout: Seconds = 10.0

    model_config = ConfigDict(populate_by_name=True)
