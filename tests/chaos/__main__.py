"""`make chaos LOOPS=N KILLS=K SEED=n`: ends with one JSON line of figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic

from chaos.check import Books, check
from chaos.drive import Options, Run
from chaos.faults import Faults
from chaos.fleet import fleet
from chaos.poison import Poisoner
from loopwright.client import Client


def main() -> int:
    """Run, check, and say what was found."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--loops", type=int, default=2500)
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1, help="of the bus; of three one leads")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the stores")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="loopwright-chaos-"))
    began = monotonic()
    try:
        run, books = asyncio.run(
            _whole(Options(asked.loops, asked.kills, asked.seed, folder, asked.nodes))
        )
    finally:
        if asked.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for violation in books.violations:
        print(violation)
    print(json.dumps(figures(run, books, monotonic() - began)))
    return 1 if books.violations else 0


async def _whole(options: Options) -> tuple[Run, Books]:
    whole = asyncio.current_task()
    assert whole is not None
    # So that whoever stops this leaves no servers behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    async with (
        fleet(options.folder, options.seed, nodes=options.nodes) as parts,
        Client(parts.nats.url) as client,
    ):
        run: Run
        faults = Faults(parts, lambda: len(run.ended))
        run = Run(options, parts, client, Poisoner(parts, client.nc), faults)
        await run.to_the_end()
        return run, await check(run, client, options.folder)


def figures(run: Run, books: Books, seconds: float) -> dict[str, object]:
    """One line that says what was done and what was found."""
    return {
        "target": "chaos",
        "violations": len(books.violations),
        "loops": run.options.loops,
        "ended": len(run.ended),
        "outcomes": dict(books.outcomes),
        "kills": dict(sorted(run.faults.kills.items())),
        "freezes": dict(sorted(run.faults.freezes.items())),
        "connections": dict(sorted(run.fleet.mischief.done.items())),
        "conflicts": run.fleet.conflicts,
        "executions": len(books.meters),
        "executed_twice": books.executed_twice,
        "poisoned": len(run.poisoned),
        "dead_letters": books.letters.total(),
        "lies": run.lies,
        "resubmitted": run.retries,
        "deaths": sum(member.deaths for member in run.fleet.members),
        "healed_s": round(run.healed_s, 1),
        "events": books.events,
        "seconds": round(seconds, 1),
        "nodes": run.options.nodes,
        "seed": run.options.seed,
    }


if __name__ == "__main__":
    sys.exit(main())
