"""What must be true of the measured loops: they ended as they had to, and their logs are whole."""

from __future__ import annotations

from benchmarks.load import Measured
from benchmarks.systems import Name
from loopwright.client import Client
from loopwright.events import LoopEnded, PlanRequested


async def faults(name: Name, url: str, measured: Measured, iterations: int) -> list[str]:
    """Everything that is wrong, in sentences; of bare systems only what did not end."""
    found = [f"{name}: loop {loop} did not end" for loop in measured.unended]
    if name != "product":
        return found
    async with Client(url) as client:
        for loop in measured.ids:
            found += await _of(client, loop, iterations)
    return found


async def _of(client: Client, loop: str, iterations: int) -> list[str]:
    found = await client.audit(loop)
    events = [item.event.data for item in await client.entries(loop)]
    asked = sum(isinstance(data, PlanRequested) for data in events)
    if asked != iterations:
        found.append(f"it has {asked} iterations, not {iterations}")
    if len(events) != 3 * iterations + 2:
        found.append(f"its log has {len(events)} events, not {3 * iterations + 2}")
    end = events[-1] if events else None
    if not isinstance(end, LoopEnded) or end.outcome != "achieved":
        found.append("it was not achieved")
    return [f"loop {loop}: {sentence}" for sentence in found]
