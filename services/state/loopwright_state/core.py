"""What one event writes into the projections: pure, so that a rebuild gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from loopwright.chain import LoopEvent
from loopwright.loop import Loop, evolve
from loopwright.views import view

#: All keys begin with this.
PREFIX = "lw:"
POSITION = f"{PREFIX}position"
ALL = f"{PREFIX}loops"
OPEN = f"{PREFIX}loops:open"
QUARANTINED = f"{PREFIX}quarantined"


def fold_key(loop: str) -> str:
    """The folded loop, as JSON."""
    return f"{PREFIX}fold:{loop}"


def view_key(loop: str) -> str:
    """The loop's view, as JSON."""
    return f"{PREFIX}view:{loop}"


def spend_key(loop: str) -> str:
    """The loop's spending: position → tokens and micro-dollars charged so far."""
    return f"{PREFIX}spend:{loop}"


def tenant_key(tenant: str) -> str:
    """A tenant's loops by the time of their admission."""
    return f"{PREFIX}loops:tenant:{tenant}"


def state_key(state: str) -> str:
    """The loops in one state by the time of their admission."""
    return f"{PREFIX}loops:state:{state}"


@dataclass(frozen=True, slots=True)
class Writes:
    """What an event changes in the store."""

    values: dict[str, str] = field(default_factory=dict)
    scores: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Sorted set → member and score."""
    removed: dict[str, str] = field(default_factory=dict)
    """Sorted set → member."""
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Hash → field and value."""


def project(
    before: Loop | None, event: LoopEvent, seq: int, body_digest: str
) -> tuple[Loop, Writes]:
    """The loop after the event, and what that writes; UnreadableError where it cannot follow."""
    loop = evolve(before, event, seq=seq, body_digest=body_digest)
    admitted = loop.admitted_at.timestamp()
    scores = {state_key(loop.state): (loop.id, admitted)}
    removed = {}
    if before is None:
        scores |= {
            ALL: (loop.id, admitted),
            OPEN: (loop.id, admitted),
            tenant_key(loop.tenant): (loop.id, admitted),
        }
    elif before.state != loop.state:
        removed[state_key(before.state)] = loop.id
    if loop.ended is not None:
        removed[OPEN] = loop.id
    fields = {}
    if event.data.settles is not None:
        fields[spend_key(loop.id)] = (str(loop.n), loop.spent.model_dump_json())
    values = {
        fold_key(loop.id): loop.model_dump_json(exclude_none=True, by_alias=True),
        view_key(loop.id): view(loop).model_dump_json(exclude_none=True, by_alias=True),
    }
    return loop, Writes(values, scores, removed, fields)
