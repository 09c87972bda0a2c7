"""Loops below a loop: slices of its budget, what came of each child, whose work is taken. Pure.

A child's budget is a slice of what its parent has left, reserved in the event that starts it. What
the child has spent is charged when its end is taken in, and the rest of the slice flows back.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import Field

from loopwright.budget import MICRO, NOTHING, Amount, Budget
from loopwright.goal import Goal
from loopwright.spawn import Pattern, Share
from loopwright.wire import Wire


class Parent(Wire):
    """The event that started a loop."""

    loop: str
    n: int
    """Position of the event in the parent's log."""
    index: int
    """Which of the children that it started."""


class Slice(Wire):
    """What a child may spend at most, out of its parent's budget; None where that has no cap."""

    iterations: int = Field(ge=1)
    tokens: int | None = None
    cost_microusd: int | None = None
    actions: int | None = None

    @property
    def amount(self) -> Amount:
        """What is reserved for it."""
        return Amount(
            tokens=self.tokens or 0,
            cost_microusd=self.cost_microusd or 0,
            actions=self.actions or 0,
        )

    def overrun_by(self, spent: Amount) -> bool:
        """Whether more was spent than the slice."""
        caps = (self.tokens, self.cost_microusd, self.actions)
        used = (spent.tokens, spent.cost_microusd, spent.actions)
        return any(cap is not None and value > cap for cap, value in zip(caps, used, strict=True))

    def budget(self, time_s: float) -> Budget:
        """The child's budget."""
        usd = None if self.cost_microusd is None else Decimal(self.cost_microusd) / MICRO
        return Budget(
            iterations=self.iterations,
            tokens=self.tokens,
            usd=usd,
            actions=self.actions,
            time=time_s,
        )


class Spawned(Wire):
    """A loop that an event starts; its parent's workspace is `goal.workspace`."""

    id: str
    name: str
    goal: Goal
    slice: Slice
    into: str | None = None
    take: tuple[str, ...] = ("**",)


class ChildEnd(Wire):
    """How a child ended, as its parent takes it in."""

    id: str
    outcome: str
    reason: str
    detail: str = ""
    iterations: int = Field(ge=0)
    """Its own and those of the loops below it."""
    spent: Amount = NOTHING
    revision: str | None = None
    """Its best work, if there is any."""
    score: float | None = None
    passed: int = 0
    checks: int = 0


class ChildState(Wire):
    """A child as its parent knows it."""

    id: str
    name: str
    slice: Slice
    base: str | None = None
    """The revision that it began on; None is the files of its goal."""
    empty: bool = False
    """It began on nothing."""
    into: str | None = None
    take: tuple[str, ...] = ("**",)
    end: ChildEnd | None = None


class Join(Wire):
    """Children that are waited for together."""

    pattern: Pattern
    ids: tuple[str, ...]


class Joined(Wire):
    """A child at the time of the join, for whoever takes over its work."""

    child: ChildState
    taken: bool
    """Whether its work is taken over."""


def known(spawned: Spawned) -> ChildState:
    """A child that was just started."""
    workspace = spawned.goal.workspace
    return ChildState(
        id=spawned.id,
        name=spawned.name,
        slice=spawned.slice,
        base=workspace.revision,
        empty=workspace.revision is None and workspace.files is None,
        into=spawned.into,
        take=spawned.take,
    )


def sliced(children: Sequence[ChildState]) -> Amount:
    """What children that have not ended may still spend."""
    total = NOTHING
    for child in children:
        if child.end is None:
            total += child.slice.amount
    return total


def iterations_of(children: Sequence[ChildState]) -> int:
    """Iterations that children have used, or may still use."""
    return sum(c.slice.iterations if c.end is None else c.end.iterations for c in children)


def ended(children: Sequence[ChildState], end: ChildEnd) -> tuple[ChildState, ...]:
    """The children after the end of one."""
    return tuple(c.model_copy(update={"end": end}) if c.id == end.id else c for c in children)


def abandoned(children: Sequence[ChildState]) -> tuple[ChildState, ...]:
    """The children of a parent that ends: slices that are open are taken for spent in full."""
    return tuple(
        child.model_copy(update={"end": _unheard(child)}) if child.end is None else child
        for child in children
    )


def _unheard(child: ChildState) -> ChildEnd:
    return ChildEnd(
        id=child.id,
        outcome="cancelled",
        reason="requested",
        detail="its parent ended",
        iterations=child.slice.iterations,
        spent=child.slice.amount,
    )


def members(join: Join, children: Sequence[ChildState]) -> list[ChildState]:
    """The children that are waited for together, in the order in which they were started."""
    return [child for child in children if child.id in join.ids]


def all_ended(join: Join, children: Sequence[ChildState]) -> bool:
    """Whether the children's work can be taken over, and nothing of their slices is open."""
    return all(child.end is not None for child in members(join, children))


def race_is_won(join: Join, children: Sequence[ChildState]) -> bool:
    """Whether the others may stop: one of a race is verified."""
    return join.pattern == "race" and _winner(members(join, children)) is not None


def joined(join: Join, children: Sequence[ChildState]) -> tuple[Joined, ...]:
    """Every child that was waited for, and whether its work is taken over."""
    waited = members(join, children)
    match join.pattern:
        case "race":
            best = _winner(waited)
        case "best_of":
            best = _best(waited)
        case "nested" | "map":
            return tuple(Joined(child=c, taken=_has_work(c)) for c in waited)
    return tuple(Joined(child=c, taken=best is not None and c.id == best.id) for c in waited)


def _has_work(child: ChildState) -> bool:
    return child.end is not None and child.end.revision is not None


def _winner(waited: Sequence[ChildState]) -> ChildState | None:
    won = [c for c in waited if c.end and c.end.outcome == "achieved" and c.end.revision]
    return won[0] if won else None


def _best(waited: Sequence[ChildState]) -> ChildState | None:
    """The highest score; of equal ones a verified, then the one that was started first."""
    scored = [c for c in waited if c.end and c.end.revision and c.end.score is not None]
    return max(
        scored,
        key=lambda c: ((c.end and c.end.score) or 0.0, bool(c.end and c.end.outcome == "achieved")),
        default=None,
    )


class Left(Wire):
    """What a loop may still spend; None is without limit."""

    iterations: int
    tokens: int | None = None
    cost_microusd: int | None = None
    actions: int | None = None


def carve(left: Left, shares: Sequence[Share]) -> tuple[Slice, ...] | str:
    """A slice for each child, together within what is left; else the budget that is too small.

    A child has what its share says, or an equal part of what the shares of the others leave.
    """
    cost = [None if s.usd is None else Budget(usd=s.usd).cost_microusd for s in shares]
    parts = {
        "iterations": _parts(left.iterations, [share.iterations for share in shares]),
        "tokens": _parts(left.tokens, [share.tokens for share in shares]),
        "cost": _parts(left.cost_microusd, cost),
        "actions": _parts(left.actions, [share.actions for share in shares]),
    }
    for name, part in parts.items():
        if part is None:
            return name
    slices = []
    for index in range(len(shares)):
        iterations = (parts["iterations"] or [])[index]
        assert iterations is not None
        slices.append(
            Slice(
                iterations=iterations,
                tokens=(parts["tokens"] or [])[index],
                cost_microusd=(parts["cost"] or [])[index],
                actions=(parts["actions"] or [])[index],
            )
        )
    return tuple(slices)


def _parts(left: int | None, wanted: Sequence[int | None]) -> list[int | None] | None:
    """Each child's part, None where there is no cap; None for all where it does not suffice."""
    if left is None:
        return list(wanted)
    stated = sum(part for part in wanted if part is not None)
    open_ = sum(part is None for part in wanted)
    equal = (left - stated) // open_ if open_ else 0
    if stated > left or (open_ and equal < 1):
        return None
    return [equal if part is None else part for part in wanted]
