"""The log of the simulation: real folds and the real compare-and-set, on a bus that may lie.

A fold is made once for all who ask: the same head, event and sequence give the same loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopwright.budget import NOTHING, Amount
from loopwright.chain import GENESIS, LoopEvent, digest, event_type, schema_uri
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.events import EventData, LoopEnded
from loopwright.family import sliced
from loopwright.loop import Loop, evolve
from simulation.rules import Rules
from simulation.world import Subjects, World

#: Called with the fold that wrote, the event, its sequence and its token, once it is stored.
Stored = Callable[[Loop | None, LoopEvent, int, str], None]


@dataclass(slots=True)
class Log:
    """Loops' events; each coordinator has a cache of folds of its own."""

    world: World
    rules: Rules
    on_stored: Stored
    subjects: Subjects = field(init=False)
    known: dict[tuple[str, str, int], Loop] = field(default_factory=dict)
    ids: int = 0

    def __post_init__(self) -> None:
        self.subjects = Subjects(self.world)

    @property
    def stored(self) -> dict[str, list[tuple[int, Any]]]:
        """Every loop's events with their sequences."""
        return self.subjects.stored

    def after(self, loop: Loop | None, event: LoopEvent, seq: int) -> Loop:
        """The fold of one more event."""
        key = (loop.head if loop else "", event.id, seq)
        known = self.known.get(key)
        if known is None:
            known = evolve(loop, event, seq=seq, body_digest=digest(event.id.encode()))
            self.known[key] = known
        return known

    def fold(
        self, loop_id: str, cache: dict[str, Loop], *, at_least: int | None = None
    ) -> Loop | None:
        """The loop from a cache that may be stale, or read to the tip."""
        known = cache.get(loop_id)
        if known is not None and at_least is not None and known.tip >= at_least:
            return known
        if known is not None and not self.rules.read_to_the_tip:
            return known
        loop = known
        for seq, event in self.stored.get(loop_id, ())[known.n + 1 if known else 0 :]:
            loop = self.after(loop, event, seq)
        if loop is not None:
            cache[loop_id] = loop
        return loop

    def append(
        self,
        loop: Loop | None,
        loop_id: str,
        data: EventData,
        cache: dict[str, Loop],
        token: str,
        *,
        compare: bool = True,
    ) -> None:
        """Compare-and-set on the fold's tip; an ambiguous answer is read back."""
        self.ids += 1
        event = LoopEvent(
            id=f"{self.ids}",
            source="/simulation",
            type=event_type(data.kind),
            subject=loop_id,
            time=self.world.now,
            dataschema=schema_uri("event"),
            n=loop.n + 1 if loop else 0,
            prev=loop.head if loop else GENESIS,
            data=_mutated(self.rules, loop, data),
        )
        compare = compare and self.rules.compare_and_set
        expected = (loop.tip if loop else 0) if compare else None
        try:
            seq = self.subjects.publish(loop_id, event, expected)
        except BusUnavailableError:
            cache.pop(loop_id, None)
            stored = self.stored.get(loop_id, [])
            if not stored or stored[-1][1].id != event.id:
                raise ConflictError("not stored") from None
            seq = stored[-1][0]
        if expected is not None:
            cache[loop_id] = self.after(loop, event, seq)
        self.on_stored(loop, event, seq, token)


def _mutated(rules: Rules, loop: Loop | None, data: EventData) -> EventData:
    """The event as it would be without the guards of charging that are out."""
    if not rules.charge_unheard:
        data = _uncharged(data)
    if not rules.charge_open_slices and isinstance(data, LoopEnded) and loop is not None:
        data = data.model_copy(update={"spent": _without(data.spent, sliced(loop.children))})
    return data


def _without(spent: Amount, slices: Amount) -> Amount:
    return Amount(
        tokens=max(0, spent.tokens - slices.tokens),
        cost_microusd=max(0, spent.cost_microusd - slices.cost_microusd),
        actions=max(0, spent.actions - slices.actions),
    )


def _uncharged(data: EventData) -> EventData:
    """The event with what an unheard attempt may have spent forgotten."""
    settles = data.settles
    if settles is None or settles.status not in ("worker_lost", "expired", "ended"):
        return data
    forgotten: dict[str, Any] = {"settles": settles.model_copy(update={"charged": NOTHING})}
    if isinstance(data, LoopEnded):
        forgotten["spent"] = NOTHING
    return data.model_copy(update=forgotten)
