"""The provider's own meter and the journal of effects: one line before anything is done.

A line is one write to a file that is opened for appending, so it is whole and it survives the
`kill -9` of its writer; nothing of the product reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from loopwright.budget import Amount
from loopwright.subjects import Role


@dataclass(frozen=True, slots=True)
class Reading:
    """What one attempt did."""

    loop: str
    role: Role
    iteration: int
    attempt: int
    tokens: int = 0
    cost_microusd: int = 0
    actions: int = 0

    @property
    def step(self) -> tuple[str, Role, int, int]:
        """The attempt: it may be done once."""
        return self.loop, self.role, self.iteration, self.attempt

    @property
    def amount(self) -> Amount:
        """What it used."""
        return Amount(tokens=self.tokens, cost_microusd=self.cost_microusd, actions=self.actions)


class Meter:
    """One process's meter."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, reading: Reading) -> None:
        """Record it, before it is done."""
        os.write(self._file, json.dumps(asdict(reading)).encode() + b"\n")


def readings(folder: Path) -> Iterator[Reading]:
    """Every reading of every process."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            yield Reading(**json.loads(line))
