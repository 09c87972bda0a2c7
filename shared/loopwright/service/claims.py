"""Claims: an attempt is done by whoever is first on its subject, and by nobody else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ulid import ULID

from loopwright import subjects
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.service.bus import Bus, Expect


@dataclass(frozen=True, slots=True)
class Claim:
    """Who holds an attempt."""

    ours: bool
    owner: str


async def claim(bus: Bus, subject: str, owner: str) -> Claim:
    """Take a claim by compare-and-set on 0; an ambiguous answer is settled by reading it back."""
    mark = str(ULID())
    body = json.dumps({"id": mark, "owner": owner, "time": datetime.now(UTC).isoformat()}).encode()
    try:
        await bus.publish(subject, body, stream=subjects.CLAIMS, expect=Expect(0, subject))
    except (ConflictError, BusUnavailableError):
        held = await bus.last(subjects.CLAIMS, subject)
        if held is None:
            raise BusUnavailableError(f"{subject}: neither taken nor free") from None
        found = json.loads(held.body)
        return Claim(ours=found["id"] == mark, owner=str(found["owner"]))
    return Claim(ours=True, owner=owner)
