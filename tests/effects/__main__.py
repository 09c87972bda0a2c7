"""`make effects`: EXECUTIONS=12000 KILLS=70 SEED=1; one line of JSON at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import nats

from effects.drive import Drive, Figures
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from servers import nats_server


async def effects(
    folder: Path, executions: int, kills: int, seed: int, journal: str = "bus"
) -> Figures:
    """A run on a server of its own."""
    with nats_server(folder / "nats") as server:
        connection = await nats.connect(server.url)
        try:
            await declare(connection.jetstream(), ServiceSettings())
            drive = Drive(server.url, folder / "ledger", executions, kills, seed, journal)
            return await drive.run()
        finally:
            await connection.close()


def main() -> int:
    """0 where nothing happened twice and enough was killed."""
    parser = argparse.ArgumentParser()
    for name, value in (("executions", 12_000), ("kills", 70), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = asyncio.run(effects(Path(folder), asked.executions, asked.kills, asked.seed))
    report = {**asdict(found), "violations": len(found.violations), "seed": asked.seed}
    for sentence in found.violations[:20]:
        print(sentence, file=sys.stderr)
    print(json.dumps(report))
    stressed = found.kills >= asked.kills and found.executions >= asked.executions
    return 0 if stressed and not found.violations else 1


if __name__ == "__main__":
    sys.exit(main())
