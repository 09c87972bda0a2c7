"""`make mutants`: each guard is taken out of a copy of the tree; its test must turn red there."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic

from mutation.mutant import Mutant
from mutation.table import MUTANTS
from mutation.tree import Found, Tree


@dataclass(slots=True)
class Table:
    """What has been found so far, printed line by line."""

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def add(self, mutant: Mutant, found: Found) -> None:
        """One more line."""
        with self.lock:
            self.counts[found.verdict] += 1
            place = f"{self.counts.total():3}/{self.total}"
            where = f"{found.seconds:6.1f} s  {mutant.name} ({mutant.file})"
            print(f"{place} {found.verdict:6} {where}", flush=True)
            if not found.proven:
                print(f"        {mutant.test}: {found.said}", flush=True)


def work(root: Path, rows: Sequence[Mutant], table: Table) -> None:
    """Take each row's guard out of a tree of one's own."""
    if not rows:
        return
    with closing(Tree(root)) as tree:
        usual = tree.with_guards(list(dict.fromkeys(row.test for row in rows)))
        for row in rows:
            if row.test in usual:
                table.add(row, tree.without(row, usual[row.test]))
            else:
                table.add(row, Found("ERROR", "with every guard in, the test does not pass"))


def main() -> int:
    """Print the table and a line of figures."""
    parser = argparse.ArgumentParser(prog="mutation")
    parser.add_argument("--only", default="", help="those whose name, file or test holds this")
    parser.add_argument("--workers", type=int, default=2, help="trees that are worked on at once")
    asked = parser.parse_args()
    chosen = [
        row for row in MUTANTS if any(asked.only in text for text in (row.name, row.file, row.test))
    ]
    began, table = monotonic(), Table(len(chosen))
    with TemporaryDirectory(prefix="loopwright-mutants-") as folder:
        with ThreadPoolExecutor(asked.workers) as pool:
            shares = [chosen[n :: asked.workers] for n in range(asked.workers)]
            done = [
                pool.submit(work, Path(folder) / str(n), rows, table)
                for n, rows in enumerate(shares)
            ]
        for one in done:
            one.result()
    print(json.dumps(figures(table, monotonic() - began)))
    return 1 if table.counts["MISSED"] or table.counts["ERROR"] else 0


def figures(table: Table, seconds: float) -> dict[str, object]:
    """One line that says what was tried and what was found."""
    return {
        "target": "guards",
        "violations": table.counts["MISSED"] + table.counts["ERROR"],
        "mutants": table.total,
        "red": table.counts["caught"] + table.counts["hung"],
        "hung": table.counts["hung"],
        "missed": table.counts["MISSED"],
        "errors": table.counts["ERROR"],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
