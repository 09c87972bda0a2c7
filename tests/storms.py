"""`make chaos FULL=1`: every storm one after another, and one JSON line of all their figures.

Each runs in a process of its own and ends with its own line. What needs a disk of our own is left
out where we are not root, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

#: The longest that one storm may take, in seconds.
STORM_S = 7200.0


@dataclass(frozen=True, slots=True)
class Storm:
    """One proof, as a module and its words."""

    name: str
    module: str
    words: tuple[str, ...]
    root: bool = False


def storms(loops: int, minutes: float, seed: int) -> tuple[Storm, ...]:
    """All of them, for so many loops of chaos and so many minutes of an outage."""
    kills, few = max(16, loops // 16), max(60, loops // 5)
    chaos = ("--loops", str(loops), "--kills", str(kills), "--seed", str(seed))
    cluster = ("--loops", str(few), "--kills", "16", "--seed", str(seed), "--nodes", "3")
    seeded = ("--seed", str(seed))
    meter = (*seeded, "meter", "--loops", str(max(80, few)), "--kills", "12", "--bus-kills", "20")
    return (
        Storm("chaos", "chaos", chaos),
        Storm("cluster", "chaos", cluster),
        Storm("meter", "metering", meter),
        Storm("outage", "metering", (*seeded, "outage", "--seconds", str(60 * minutes))),
        Storm("proxy", "durability", (*seeded, "proxy", "--minutes", str(minutes / 3))),
        Storm("diskfull", "durability", (*seeded, "diskfull"), root=True),
        Storm("powercut", "durability", (*seeded, "powercut"), root=True),
    )


def main() -> int:
    """Run all; exit code 1 if any found a violation."""
    parser = argparse.ArgumentParser(prog="storms")
    parser.add_argument("--loops", type=int, default=2500)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names, with commas")
    asked = parser.parse_args()
    began = monotonic()
    found: dict[str, Any] = {}
    left_out: list[str] = []
    for storm in storms(asked.loops, asked.minutes, asked.seed):
        if asked.only and storm.name not in asked.only.split(","):
            continue
        if storm.root and os.geteuid() != 0:
            left_out.append(storm.name)
            continue
        found[storm.name] = run(storm)
        print(json.dumps(found[storm.name]), flush=True)
    print(json.dumps(summary(found, left_out, asked.seed, monotonic() - began)))
    return 1 if any(figures["violations"] for figures in found.values()) else 0


def run(storm: Storm) -> dict[str, Any]:
    """A storm's figures; one that ends without any is a violation itself."""
    done = subprocess.run(
        [sys.executable, "-m", storm.module, *storm.words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=STORM_S,
        check=False,
    )
    *sentences, last = done.stdout.splitlines() or [""]
    for sentence in sentences:
        print(f"{storm.name}: {sentence}", flush=True)
    try:
        return dict(json.loads(last))
    except ValueError:
        print(f"{storm.name}: it ended without figures:\n{done.stderr[-2000:]}", flush=True)
        return {"target": storm.name, "violations": 1}


def summary(
    found: dict[str, Any], left_out: list[str], seed: int, seconds: float
) -> dict[str, object]:
    """One line of all."""
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    server = Path(sys.prefix, "bin", "nats-server")
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    return {
        "target": "storms",
        "violations": sum(figures["violations"] for figures in found.values()),
        "storms": found,
        "left_out": left_out,
        "durability": "chaos, cluster, meter and outage: the server's default; "
        "diskfull and powercut: sync_interval always",
        "seed": seed,
        "revision": revision.stdout.strip(),
        "nats": version.stdout.strip().split()[-1],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
