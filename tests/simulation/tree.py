"""Families from outside: what a whole tree of loops holds and has spent, at every event of it.

Added up from the events alone: charges and reservations of every loop, on the way to its root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from loopwright.budget import NOTHING, Amount
from loopwright.chain import LoopEvent
from loopwright.events import LoopAdmitted, LoopEnded
from loopwright.family import ChildEnd, Parent, all_ended, race_is_won
from loopwright.loop import Loop
from simulation.log import Log

#: Between the reading of a parent and the admission of its child there is this at most.
STARTING = timedelta(seconds=2)
#: By then every redelivery has brought an end to whom it concerns, up or down a tree.
CARRIED = timedelta(seconds=100)


class Used(NamedTuple):
    """What a loop, or a tree of loops, was charged and holds."""

    iterations: int
    tokens: int
    cost_microusd: int
    actions: int

    def plus(self, other: Used, sign: int = 1) -> Used:
        """The sum, or the difference."""
        return Used(*(mine + sign * its for mine, its in zip(self, other, strict=True)))


@dataclass(slots=True)
class Tree:
    """The loops of one world and how they belong together."""

    log: Log
    folds: dict[str, Loop]
    own: dict[str, Used] = field(default_factory=dict)
    """What each loop was charged itself and has reserved for itself."""
    charged: dict[str, Amount] = field(default_factory=dict)
    whole: dict[str, Used] = field(default_factory=dict)
    """The same with all loops below it."""
    started: dict[tuple[str, int, int], str] = field(default_factory=dict)
    won: dict[tuple[str, ...], datetime] = field(default_factory=dict)
    """When a race was won, by the loops that ran in it."""

    def add(self, before: Loop | None, loop: Loop, event: LoopEvent) -> Iterator[str]:
        """Take in an event; what it breaks, in sentences. `loop` is the fold after it."""
        data = event.data
        if isinstance(data, LoopAdmitted) and data.parent is not None:
            yield from self._admitted(event, data, data.parent)
        yield from self._within(loop, event)
        if data.child is not None:
            yield from self._heard(data.child)
        if getattr(data, "grant", None) is not None and loop.parent is not None:
            yield from self._granted(loop, event)
        if isinstance(data, LoopEnded) and before is not None:
            yield from self._waited_in_vain(before, event)
        if loop.join is not None and race_is_won(loop.join, loop.children):
            self.won.setdefault(loop.join.ids, event.time)

    def _above(self, loop: Loop) -> Iterator[Loop]:
        while loop.parent is not None:
            loop = self.folds[loop.parent.loop]
            yield loop

    def _admitted(self, event: LoopEvent, data: LoopAdmitted, by: Parent) -> Iterator[str]:
        """A child is the one that its parent's event names, once, and its parent runs."""
        parent, place = self.folds[by.loop], (by.loop, by.n, by.index)
        named = getattr(self.log.stored[by.loop][by.n][1].data, "children", ())
        if by.index >= len(named) or named[by.index].id != event.subject:
            yield f"family: {event.subject} is not what event {by.n} of {by.loop} starts"
        if place in self.started:
            yield f"family: {event.subject} is started again, as {self.started[place]} was"
        self.started[place] = event.subject
        if parent.ended_at is not None and event.time - parent.ended_at > STARTING:
            yield f"family: {event.subject} is admitted, {by.loop} ended at {parent.ended_at}"
        if data.deadline > parent.deadline:
            yield f"family: {event.subject} may outlive {by.loop}"
        root = [parent, *self._above(parent)]
        if len(root) > root[-1].goal.nesting.depth:
            yield f"family: {event.subject} is {len(root)} levels below its root"
        if len(parent.children) > root[-1].goal.nesting.fan_out:
            yield f"family: {by.loop} has started {len(parent.children)} loops"

    def _within(self, loop: Loop, event: LoopEvent) -> Iterator[str]:
        """A tree holds and has spent no more than its root accounts for, and its cap."""
        settles, grant = event.data.settles, getattr(event.data, "grant", None)
        charged = self.charged.get(loop.id, NOTHING)
        if settles is not None:
            charged = self.charged[loop.id] = charged + settles.charged
        if loop.open is not None and grant is None:  # a word that closes nothing
            held = loop.open.grant.reserved
        else:
            held = grant.reserved if grant is not None else NOTHING
        now = charged + held
        used = Used(loop.iteration, now.tokens, now.cost_microusd, now.actions)
        zero = Used(0, 0, 0, 0)
        change = used.plus(self.own.get(loop.id, zero), -1)
        self.own[loop.id] = used
        for one in (loop, *self._above(loop)):
            whole = self.whole[one.id] = self.whole.get(one.id, zero).plus(change)
            yield from _beyond(one, whole, event)

    def _heard(self, end: ChildEnd) -> Iterator[str]:
        """A child's end is taken in as it was."""
        child = self.folds.get(end.id)
        if child is None or child.ended is None:
            yield f"family: the end of {end.id} is taken in, it has not ended"
        elif (end.spent, end.outcome, end.iterations) != (
            child.spent,
            child.ended,
            child.iterations,
        ):
            yield f"family: the end of {end.id} is taken in as {end}, it was {child.spent}"

    def _granted(self, loop: Loop, event: LoopEvent) -> Iterator[str]:
        """Nothing is begun for long below a loop that has ended, or by who has lost a race."""
        assert loop.parent is not None
        above = self.folds[loop.parent.loop]
        late = event.time - CARRIED
        if above.ended_at is not None and above.ended_at < late:
            yield f"family: {loop.id} goes on, {above.id} ended at {above.ended_at}"
        join = above.join
        if join is not None and loop.id in join.ids and self.won.get(join.ids, event.time) < late:
            yield f"family: {loop.id} goes on, its race was won at {self.won[join.ids]}"

    def _waited_in_vain(self, before: Loop, event: LoopEvent) -> Iterator[str]:
        """No loop ends waiting for children that all ended long before."""
        if before.state != "awaiting_children" or before.join is None:
            return
        ends = [self.folds[i].ended_at for i in before.join.ids if i in self.folds]
        known = [at for at in ends if at is not None]
        if len(known) == len(before.join.ids) and max(known) < event.time - CARRIED:
            waits = not all_ended(before.join, before.children)
            yield f"family: {before.id} waits ({waits}) for loops that ended by {max(known)}"


def _beyond(loop: Loop, whole: Used, event: LoopEvent) -> Iterator[str]:
    booked, budget = loop.spent + loop.reserved, loop.budget
    account = Used(loop.iterations, booked.tokens, booked.cost_microusd, booked.actions)
    caps = (budget.iterations, budget.tokens, budget.cost_microusd, budget.actions)
    for name, used, known, cap in zip(Used._fields, whole, account, caps, strict=True):
        if used > known or (cap is not None and used > cap):
            yield (
                f"tree: {used} {name} below and in {loop.id} at event {event.n} of "
                f"{event.subject}, {known} are booked, the cap is {cap}"
            )
