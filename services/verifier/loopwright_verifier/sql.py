"""A question in SQL over files of the workspace, by DuckDB, with nothing else in reach."""

from __future__ import annotations

from pathlib import Path

import duckdb

from loopwright.checks import Rows, SqlCheck
from loopwright.plan import CheckResult
from loopwright_verifier.core import result
from loopwright_verifier.duck import TableError, connect, first_line, lock, quoted, reader_of
from loopwright_verifier.files import digest_of, located

#: Rows that are shown as evidence.
SHOWN_ROWS = 10


def check_sql(check: SqlCheck, tree: Path, held_out: Path | None) -> CheckResult:
    """Judge what the query answers."""
    files = {name: located(tree, path) for name, path in check.tables.items()}
    if held_out is not None:
        files |= {name: located(held_out, path) for name, path in check.references.items()}
    database = connect()
    try:
        for name, path in files.items():
            _load(database, name, path)
        lock(database)
        columns, rows = _ask(database, check.query)
    except TableError as error:
        return result(check.name, "failed", str(error))
    secret = bool(check.references)  # what a held-out table says is not told
    if check.value is not None:
        wrong = _value(check.value, rows, secret=secret)
    else:
        wrong = _count(check.rows, len(rows))
    return result(
        check.name,
        "failed" if wrong else "passed",
        wrong or f"the query answers as wanted, {len(rows)} rows",
        judged="".join(map(digest_of, files.values())).encode(),
        text="" if secret else _shown(columns, rows),
    )


def _shown(columns: list[str], rows: list[tuple[object, ...]]) -> str:
    lines = [" | ".join(columns), *(" | ".join(map(str, row)) for row in rows[:SHOWN_ROWS])]
    return "\n".join(lines) if rows else ""


def _load(database: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    try:
        reader = reader_of(path, typed=True)
        database.execute(f"CREATE TABLE {quoted(name)} AS SELECT * FROM {reader}", [str(path)])  # noqa: S608
    except (duckdb.Error, TableError) as error:
        raise TableError(f"{name} cannot be read as a table: {first_line(error)}") from error


def _ask(
    database: duckdb.DuckDBPyConnection, query: str
) -> tuple[list[str], list[tuple[object, ...]]]:
    try:
        if len(database.extract_statements(query)) != 1:
            raise TableError("the query must be one statement; mend the goal")
        answer = database.execute(query)
        rows = answer.fetchall()
    except duckdb.Error as error:
        raise TableError(f"the query fails: {first_line(error)}") from error
    return [str(column[0]) for column in answer.description or ()], rows


def _value(wanted: str, rows: list[tuple[object, ...]], *, secret: bool) -> str:
    if len(rows) != 1 or len(rows[0]) != 1:
        return f"the query answers {len(rows)} rows, a single cell is wanted"
    found = str(rows[0][0])
    if found == wanted:
        return ""
    return f"the query does not answer {wanted}" if secret else f"it answers {found}, not {wanted}"


def _count(wanted: Rows | None, found: int) -> str:
    rows = wanted or Rows(exactly=0)
    if rows.exactly is not None and found != rows.exactly:
        return f"{found} rows come out, {rows.exactly} are wanted"
    if rows.min is not None and found < rows.min:
        return f"{found} rows come out, at least {rows.min} are wanted"
    if rows.max is not None and found > rows.max:
        return f"{found} rows come out, at most {rows.max} are wanted"
    return ""
