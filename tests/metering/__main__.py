"""`make meter` and `make outage`: each ends with one JSON line of figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metering.drive import metered
from metering.outage import outlive


def main() -> int:
    """Run one proof; exit code 1 if it found a violation."""
    parser = argparse.ArgumentParser(prog="metering")
    parser.add_argument("--seed", type=int, default=1)
    proofs = parser.add_subparsers(dest="target", required=True)
    kills = proofs.add_parser("meter")
    kills.add_argument("--loops", type=int, default=300)
    kills.add_argument("--kills", type=int, default=30)
    kills.add_argument("--bus-kills", type=int, default=20)
    outage = proofs.add_parser("outage")
    outage.add_argument("--seconds", type=float, default=300.0)
    outage.add_argument("--loops", type=int, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loopwright-metering-") as folder:
        figures = asyncio.run(_run(asked, Path(folder)))
    said = figures.pop("violations")
    for sentence in said[:20]:
        print(sentence)
    figures["seconds"] = round(figures["seconds"], 1)
    print(json.dumps({"target": asked.target, "violations": len(said), **figures}))
    return 1 if said else 0


async def _run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if asked.target == "outage":
        return asdict(
            await outlive(folder, seed=asked.seed, loops=asked.loops, down_s=asked.seconds)
        )
    return asdict(
        await metered(
            folder,
            seed=asked.seed,
            loops=asked.loops,
            kills=asked.kills,
            bus_kills=asked.bus_kills,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
