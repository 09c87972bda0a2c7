"""Tables: columns, types, counts, values, and row-for-row agreement with a reference, by DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import duckdb

from loopwright.checks import ColumnType, TableCheck, TableEquals
from loopwright.plan import CheckResult
from loopwright_verifier.core import result
from loopwright_verifier.duck import TableError, connect, first_line, lock, quoted, reader_of
from loopwright_verifier.files import locate

_SQL_TYPES: dict[ColumnType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
#: Differences that are shown.
SHOWN = 5

Row = tuple[str | None, ...]


def check_table(check: TableCheck, tree: Path, held_out: Path | None) -> CheckResult:
    """Judge one table by everything that the check names."""
    found = locate(tree, check.path)
    if found is None:
        return result(check.name, "failed", f"there is no file {check.path}")
    try:
        table = Table(found, check.null)
        wrong = [*_structure(check, table)]
        if not wrong:
            wrong = [*_columns(check, table), *_counts(check, table)]
        if not wrong and check.equals is not None:
            wrong = _equals(check.equals, table, held_out, check.null)
        rows = table.count
    except TableError as error:
        return result(check.name, "failed", f"{check.path}: {error}")
    message = "; ".join(wrong[:SHOWN]) or f"{rows} rows are as wanted"
    judged = found.read_bytes()
    return result(
        check.name, "failed" if wrong else "passed", message, judged=judged, text="\n".join(wrong)
    )


class Table:
    """One file as a table of texts; null texts are null."""

    def __init__(self, path: Path, null: tuple[str, ...]) -> None:
        reader = reader_of(path)
        self._db = connect()
        try:
            self._db.execute(f"CREATE TABLE raw AS SELECT * FROM {reader}", [str(path)])  # noqa: S608
        except duckdb.Error as error:
            raise TableError(f"it cannot be read as a table: {first_line(error)}") from error
        lock(self._db)
        described = self._db.execute("DESCRIBE raw").fetchall()
        self.columns = tuple(str(row[0]) for row in described)
        texts = ", ".join(_nulled(name, null) for name in self.columns)
        self._db.execute(f"CREATE TABLE t AS SELECT {texts} FROM raw", _nulls(self.columns, null))  # noqa: S608
        self.count = self.number("SELECT count(*) FROM t")

    def number(self, sql: str) -> int:
        """A query's one number."""
        row = self._db.execute(sql).fetchone()
        return int(row[0]) if row else 0

    def rows(self, sql: str) -> list[Row]:
        """A query's rows, as texts."""
        return self._db.execute(sql).fetchall()

    def all(self) -> Iterator[Row]:
        """Every row, in the file's order."""
        cursor = self._db.execute("SELECT * FROM t")
        while batch := cursor.fetchmany(1000):
            yield from batch


def _nulled(name: str, null: tuple[str, ...]) -> str:
    column = quoted(name)
    text = f"CAST({column} AS VARCHAR)"
    if not null:
        return f"{text} AS {column}"
    marks = ", ".join("?" for _ in null)
    return f"CASE WHEN {text} IN ({marks}) THEN NULL ELSE {text} END AS {column}"


def _nulls(columns: tuple[str, ...], null: tuple[str, ...]) -> list[str]:
    return [*null] * len(columns)


def _structure(check: TableCheck, table: Table) -> Iterator[str]:
    """Columns that must be there, and the exact list if one is given."""
    if check.columns is not None and table.columns != check.columns:
        yield f"its columns are {', '.join(table.columns)}; wanted are {', '.join(check.columns)}"
    named = {*check.types, *check.not_null, *check.unique, *check.values}
    for name in sorted(named - set(table.columns)):
        yield f"there is no column {name}; there are: {', '.join(table.columns)}"


def _columns(check: TableCheck, table: Table) -> Iterator[str]:
    for name, kind in check.types.items():
        column = quoted(name)
        bad = f"{column} IS NOT NULL AND TRY_CAST({column} AS {_SQL_TYPES[kind]}) IS NULL"
        if kind == "integer":  # a cast would round 1.5
            bad = f"{column} IS NOT NULL AND NOT regexp_full_match(trim({column}), '[+-]?[0-9]+')"
        yield from _offending(table, name, bad, f"is no {kind}")
    for name in check.not_null:
        yield from _offending(table, name, f"{quoted(name)} IS NULL", "is missing")
    for name, allowed in check.values.items():
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in allowed) or "NULL"
        bad = f"{quoted(name)} IS NOT NULL AND {quoted(name)} NOT IN ({listed})"
        yield from _offending(table, name, bad, f"is none of {', '.join(allowed)}")


def _offending(table: Table, name: str, condition: str, what: str) -> Iterator[str]:
    number = table.number(f"SELECT count(*) FROM t WHERE {condition}")  # noqa: S608
    if number:
        sql = f"SELECT DISTINCT {quoted(name)} FROM t WHERE {condition} ORDER BY 1 LIMIT 3"  # noqa: S608
        examples = ", ".join(repr(row[0]) for row in table.rows(sql) if row[0] is not None)
        shown = f", such as {examples}" if examples else ""
        yield f"{name} {what} in {number} of {table.count} rows{shown}"


def _counts(check: TableCheck, table: Table) -> Iterator[str]:
    rows = check.rows
    if rows is not None:
        if rows.exactly is not None and table.count != rows.exactly:
            yield f"it has {table.count} rows, {rows.exactly} are wanted"
        if rows.min is not None and table.count < rows.min:
            yield f"it has {table.count} rows, at least {rows.min} are wanted"
        if rows.max is not None and table.count > rows.max:
            yield f"it has {table.count} rows, at most {rows.max} are allowed"
    if check.unique:
        names = ", ".join(map(quoted, check.unique))
        sql = f"SELECT count(*) FROM (SELECT 1 FROM t GROUP BY {names} HAVING count(*) > 1)"  # noqa: S608
        repeated = table.number(sql)
        if repeated:
            yield f"{', '.join(check.unique)} together repeat in {repeated} groups of rows"


def _equals(
    wanted: TableEquals, table: Table, held_out: Path | None, null: tuple[str, ...]
) -> list[str]:
    reference = locate(held_out, wanted.reference) if held_out is not None else None
    if reference is None:
        raise ValueError(f"verify.held_out holds no {wanted.reference}; mend the goal")
    other = Table(reference, null)
    if table.columns != other.columns:
        theirs, ours = ", ".join(other.columns), ", ".join(table.columns)
        return [f"its columns are {ours}; the reference has {theirs}"]
    if table.count != other.count:
        return [f"it has {table.count} rows, the reference has {other.count}"]
    if not wanted.ordered:
        return _multiset(table, other)
    return _row_by_row(table, other, wanted.tolerance)


def _row_by_row(table: Table, other: Table, tolerance: float) -> list[str]:
    differences: list[str] = []
    rows = 0
    for number, (ours, theirs) in enumerate(zip_longest(table.all(), other.all()), start=1):
        cells = [
            (name, a, b)
            for name, a, b in zip(table.columns, ours, theirs, strict=True)
            if not _agree(a, b, tolerance)
        ]
        rows += bool(cells)
        for name, a, _ in cells:
            if len(differences) < SHOWN:
                # The reference is held out: what it says is not told, or a plan could copy it.
                differences.append(f"row {number}, {name}: {a!r} is not what the reference has")
    return [f"{rows} of {table.count} rows differ from the reference", *differences] if rows else []


def _multiset(table: Table, other: Table) -> list[str]:
    missing = Counter(other.all()) - Counter(table.all())
    number = sum(missing.values())
    return [f"{number} rows of the reference are missing"] if number else []


def _agree(a: str | None, b: str | None, tolerance: float) -> bool:
    if a == b:
        return True
    if a is None or b is None or not tolerance:
        return False
    try:
        return abs(float(a) - float(b)) <= tolerance
    except ValueError:
        return False
