"""Random bits of the stored log are turned over, one at a time: each must be found."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from durability.tampering import Stop, audited, damaged, flip_by_chance, record

STOPS: tuple[Stop, ...] = ("stopped", "killed")


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
        place: list[str] = []
        change, stop = flip_by_chance(chance), STOPS[index % 2]
        with damaged(recording, folder, stop, lambda path: place.append(change(path))) as server:
            found = await audited(server, recording.heads)
        report.flips += 1
        report.found += bool(found)
        report.missed += [] if found else [f"{place[0]}, {stop}"]
    report.seconds = monotonic() - began
    return report
