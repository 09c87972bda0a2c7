"""`python -m cheats`: try every cheat and every honest work; a table, and a line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from cheats import works


async def main() -> int:
    """How many came out wrong."""
    counts = {"cheats": 0, "accepted": 0, "honest": 0, "refused": 0}
    for work in works():
        with tempfile.TemporaryDirectory() as folder:
            accepted = await work.is_accepted(Path(folder))
        counts["honest" if work.honest else "cheats"] += 1
        counts["accepted"] += accepted and not work.honest
        counts["refused"] += work.honest and not accepted
        kind, came = "honest" if work.honest else "cheat", "accepted" if accepted else "refused"
        print(f"{work.theme:<8} {kind:<7} {came:<9} {work.name}")  # noqa: T201
    print(json.dumps(counts))  # noqa: T201
    return counts["accepted"] + counts["refused"]


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main())))
