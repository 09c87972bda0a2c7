"""Random bits of the stored log are turned over, one at a time: each must be found."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from durability.tampering import STOPS, audited, block, damaged, flip, record


@dataclass
class Report:
    """What a run came to."""

    seed: int
    flips: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def flip_bits(folder: Path, *, seed: int, flips: int) -> Report:
    """Flip a bit of an honest log while its server is down, start it, audit; so many times."""
    report, began, chance = Report(seed), monotonic(), random.Random(seed)
    recording = await record(folder)
    with damaged(recording, folder, "stopped", lambda _: None) as server:
        report.missed += [f"honest: {said}" for said in await audited(server, recording.heads)]
    for index in range(flips):
        stop = STOPS[index % 2]
        size = block(recording.stores[stop]).stat().st_size
        at, bit = chance.randrange(size), chance.randrange(8)  # a body, a header, a checksum
        with damaged(recording, folder, stop, partial(flip, at=at, bit=bit)) as server:
            found = await audited(server, recording.heads)
        report.flips += 1
        report.found += bool(found)
        report.missed += [] if found else [f"bit {bit} of byte {at}, {stop}"]
    report.seconds = monotonic() - began
    return report
