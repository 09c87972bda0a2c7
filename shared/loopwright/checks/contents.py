"""Checks of what files hold: they run in the sandboxed inspector and depend on the files alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from loopwright.checks.named import ColumnType, NamedCheck, RelativePath
from loopwright.wire import Json, Written

TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class FileCheck(NamedCheck):
    """A file exists (or does not), with a size or digest."""

    kind: Literal["file"]
    path: RelativePath
    exists: bool = True
    min_bytes: int | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class RegexCheck(NamedCheck):
    """A file's text matches a regular expression so many times."""

    kind: Literal["regex"]
    path: RelativePath
    pattern: str = Field(min_length=1)
    """In the syntax of Python's `re`, multi-line."""
    min_count: int = Field(default=1, ge=0)
    max_count: int | None = Field(default=None, ge=0)


class JsonSchemaCheck(NamedCheck):
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


class TableCheck(NamedCheck):
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


class SqlCheck(NamedCheck):
    """A question in SQL (DuckDB) over the workspace's files; by itself: no row may come out."""

    kind: Literal["sql"]
    query: str = Field(min_length=1, max_length=20_000)
    """One SELECT over `tables`, such as the rows that should not be there."""
    tables: dict[TableName, RelativePath] = Field(min_length=1, max_length=20)
    """Table name → a CSV, TSV, JSON, JSON-lines or Parquet file of the workspace."""
    references: dict[TableName, RelativePath] = Field(default_factory=dict, max_length=20)
    """Table name → a file of the goal's `verify.held_out` folder."""
    rows: Rows | None = None
    """How many rows must come out; without this and without `value`: none."""
    value: str | None = None
    """The answer, a single cell, as text."""


class MetricCheck(NamedCheck):
    """A number in a file is high or low enough."""

    kind: Literal["metric"]
    path: RelativePath
    """A JSON file with `json_path`, or a text with `pattern`."""
    json_path: str | None = Field(default=None, min_length=1, max_length=500)
    """Where in the JSON, as `results[0].accuracy`."""
    pattern: str | None = Field(default=None, min_length=1, max_length=1000)
    """A regular expression with one group, the number; all that it finds must be equal."""
    min: float | None = Field(default=None, allow_inf_nan=False)
    """At least this."""
    max: float | None = Field(default=None, allow_inf_nan=False)
    """At most this."""


class SecretsCheck(NamedCheck):
    """Files that the loop changed hold nothing that looks like a key, a token or a password."""

    kind: Literal["secrets"]
    allow: tuple[str, ...] = ()
    """Patterns of paths that are not looked at, as in .gitignore."""
    patterns: tuple[str, ...] = Field(default=(), max_length=50)
    """More regular expressions that must not match."""
