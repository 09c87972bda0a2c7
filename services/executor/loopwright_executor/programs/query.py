"""SQL over the workspace's files with DuckDB, printed as CSV with a heading.

In the sandbox, so that a query reaches what a command does and no more.
"""

from __future__ import annotations

import csv
import json
import sys

import duckdb


def main() -> int:
    """Arguments come as JSON on standard input."""
    asked = json.load(sys.stdin)
    limit = int(asked["limit"])
    try:
        with duckdb.connect(config={"threads": 1, "memory_limit": "256MB"}) as base:
            answer = base.execute(asked["query"])
            if answer.description is None:
                return 0
            out = csv.writer(sys.stdout, lineterminator="\n")
            out.writerow(column[0] for column in answer.description)
            rows = answer.fetchmany(limit + 1)
            out.writerows(rows[:limit])
    except duckdb.Error as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if len(rows) > limit:
        print(f"… more than {limit} rows", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
