"""Closing a grant: what was charged, what is remembered of it, failures counted. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.errors import PATIENT, UnreadableError
from loopwright.events import Settlement
from loopwright.fold.state import Loop

#: How many settled grants the fold remembers, to tell a late result from a forged one.
SETTLED = 4


def settle(loop: Loop, settlement: Settlement | None, at: datetime) -> Loop:
    """Close the open grant: charge it, count or clear failures."""
    if settlement is None:
        return loop
    if loop.open is None or loop.open.seq != settlement.grant_seq:
        raise UnreadableError(
            f"loop {loop.id}: a settlement answers grant {settlement.grant_seq}, which is not open"
        )
    update: dict[str, object] = {
        "open": None,
        "spent": loop.spent + settlement.charged,
        "overruns": loop.overruns + settlement.overrun,
        **_failures(loop, settlement, at),
    }
    if settlement.status in ("worker_lost", "expired", "stopped"):
        update["settled"] = (*loop.settled, loop.open)[-SETTLED:]
    usage = settlement.usage
    unheard = settlement.status not in ("done", "not_started") and usage is None
    if unheard or (usage is not None and usage.estimated):
        update["estimated"] = loop.estimated + 1
    return loop.model_copy(update=update)


def _failures(loop: Loop, settlement: Settlement, at: datetime) -> dict[str, object]:
    match settlement.status:
        case "done":
            return {"failures": 0, "strikes": 0, "failing_since": None, "compact": 0}
        case "not_started" | "stopped" | "ended":
            return {}
        case "failed" | "worker_lost" | "expired":
            kind = settlement.error.kind if settlement.error else "internal"
            return {
                "failures": loop.failures + 1,
                "strikes": loop.strikes + (kind not in PATIENT),
                "failing_since": loop.failing_since or at,
                "compact": loop.compact + (kind == "context_overflow"),
            }
