"""DuckDB as the checks use it: in memory, one thread, no extension is ever fetched."""

from __future__ import annotations

from pathlib import Path

import duckdb

_CSV = "read_csv(?, header=true, strict_mode=true, null_padding=false, delim="
_READERS = {
    ".csv": f"{_CSV}',', all_varchar={{text}})",
    ".tsv": f"{_CSV}'\t', all_varchar={{text}})",
    ".jsonl": "read_json(?, format='newline_delimited')",
    ".ndjson": "read_json(?, format='newline_delimited')",
    ".json": "read_json(?, format='auto')",
    ".parquet": "read_parquet(?)",
}
_MEMORY = "512MB"


class TableError(Exception):
    """The file is no table that could be judged."""


def connect() -> duckdb.DuckDBPyConnection:
    """A database of its own."""
    database = duckdb.connect(":memory:")
    database.execute(f"SET threads=1; SET memory_limit='{_MEMORY}'")
    database.execute("SET autoinstall_known_extensions=false")
    database.execute("SET autoload_known_extensions=false")
    return database


def lock(database: duckdb.DuckDBPyConnection) -> None:
    """From here on only what is loaded: no file, no extension, no setting."""
    database.execute("SET enable_external_access=false; SET lock_configuration=true")


def reader_of(path: Path, *, typed: bool = False) -> str:
    """The SQL that reads a file whose path is a parameter; the columns of CSV are texts."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"'{path.suffix}' is no table; there are: {', '.join(_READERS)}")
    return reader.format(text="false" if typed else "true")


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """What went wrong, in a line."""
    return (str(error).splitlines() or ["unknown"])[0][:300]
