"""The checks that a goal may name: what must be true of a revision for the goal to be met."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from loopwright.wire import Json, Seconds, Written

CheckName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
ColumnType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]


class _Check(Written):
    name: CheckName
    """Unique in the goal; planners and people refer to it."""
    required: bool = True
    """A required check must pass for the goal to be met; others only count for the score."""
    weight: float = Field(default=1.0, gt=0, le=1000)
    """Its share of the score."""


class TestReportCheck(_Check):
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
    timeout: Seconds = 120.0


class CommandCheck(_Check):
    """Run a command line and judge its exit code and, if wanted, what it prints."""

    kind: Literal["command"]
    run: str = Field(min_length=1)
    exit_code: int = 0
    stdout_matches: str | None = None
    """A regular expression that standard output must contain."""
    timeout: Seconds = 120.0


class FileCheck(_Check):
    """A file exists (or does not), with a size or digest."""

    kind: Literal["file"]
    path: RelativePath
    exists: bool = True
    min_bytes: int | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class RegexCheck(_Check):
    """A file's text matches a regular expression so many times."""

    kind: Literal["regex"]
    path: RelativePath
    pattern: str = Field(min_length=1)
    """In the syntax of Python's `re`, multi-line."""
    min_count: int = Field(default=1, ge=0)
    max_count: int | None = Field(default=None, ge=0)


class JsonSchemaCheck(_Check):
    """A JSON file is valid under a JSON Schema (draft 2020-12)."""

    kind: Literal["json_schema"]
    path: RelativePath
    json_schema: dict[str, Json] = Field(alias="schema")
    """The schema itself."""

    model_config = ConfigDict(populate_by_name=True)


class Rows(Written):
    """How many rows a table must have."""

    exactly: int | None = Field(default=None, ge=0)
    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


class TableEquals(Written):
    """Row-for-row agreement with a reference table."""

    reference: RelativePath
    """A file of the goal's `verify.held_out` folder."""
    ordered: bool = True
    """Whether the order of rows matters."""
    tolerance: float = Field(default=0.0, ge=0)
    """How far numbers may differ, absolutely."""


class TableCheck(_Check):
    """A CSV, TSV, JSON-lines or Parquet file as a table: columns, types, counts, equality."""

    kind: Literal["table"]
    path: RelativePath
    columns: tuple[str, ...] | None = None
    """The exact column names, in order."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """Every non-null value of the column can be read as this type."""
    rows: Rows | None = None
    not_null: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    """These columns together identify a row."""
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The column holds no other values than these, nulls apart."""
    null: tuple[str, ...] = ("", "NA")
    """Texts that stand for a missing value."""
    equals: TableEquals | None = None


class UnchangedCheck(_Check):
    """Files are as they were in the goal's workspace: none changed, added or removed."""

    kind: Literal["unchanged"]
    paths: tuple[str, ...] = Field(min_length=1)
    """Patterns as in .gitignore, such as `tests/**`."""


Check = Annotated[
    TestReportCheck
    | CommandCheck
    | FileCheck
    | RegexCheck
    | JsonSchemaCheck
    | TableCheck
    | UnchangedCheck,
    Field(discriminator="kind"),
]


class Verify(Written):
    """How it is known that the goal is met."""

    checks: tuple[Check, ...] = Field(min_length=1, max_length=200)
    protected: tuple[str, ...] = ()
    """Patterns of paths that are put back as they were before any check runs."""
    held_out: str | None = None
    """A folder that only the verifier sees (reference data, hidden tests).

    In a goal file a path beside it; on the wire the revision that the SDK packed it as.
    Commands find it at `$LOOPWRIGHT_HELD_OUT`.
    """
