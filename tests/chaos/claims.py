"""Every attempt is claimed once, whatever its claimers were told."""

from __future__ import annotations

from loopwright import subjects
from loopwright.client import Client
from loopwright.listing import subjects_of


async def claimed_twice(client: Client) -> list[str]:
    """Claims that the bus let two be first on."""
    held = await subjects_of(client.nc, subjects.CLAIMS, "claim.>")
    return [
        f"{subject}: {count} claims are stored, one may be"
        for subject, count in sorted(held.items())
        if count > 1
    ]
