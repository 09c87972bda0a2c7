"""What one loop's event means to another, in the simulation: as the product's `kin.py` does it.

Around the real `told`, `end_of` and decisions; the process may die between any two steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from loopwright.control import Control
from loopwright.errors import ConflictError
from loopwright.events import LoopHeld
from loopwright.family import ChildState, Parent, Spawned
from loopwright.loop import Loop
from loopwright_coordinator.families import end_of, told
from loopwright_coordinator.inputs import Begin, ChildEnded, ControlArrived
from simulation.world import Message, Process

if TYPE_CHECKING:
    from simulation.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Kin:
    """The durable consumer of the events that mean something to a parent or a child."""

    cluster: Cluster

    def on_event(self, message: Message, deliveries: int, ack: Callable[[], None]) -> Process:
        """Start children, cascade, tell the parent of an end."""
        rules, event = self.cluster.rules, message.body
        settle, pause = self.cluster.coordinators.settle, self.cluster.coordinators.pause
        yield pause()
        if isinstance(event.data, LoopHeld):
            for index, child in enumerate(event.data.children):
                parent = Parent(loop=event.subject, n=event.n, index=index)
                if not (yield from self._start(parent, child)):
                    return
        loop = yield from self._cascade(event.subject)
        if loop.ended is not None and loop.parent is not None:
            if rules.tell_until_heard or deliveries == 1:
                yield from settle(loop.parent.loop, ChildEnded(end_of(loop)))
            yield from self._cascade(loop.parent.loop)
        yield pause()
        ack()

    def _start(self, parent: Parent, child: Spawned) -> Generator[float, None, bool]:
        """Admit a child, unless its parent has ended, and begin it; False if it must come again."""
        cluster = self.cluster
        once, above = cluster.rules.start_once, self._loop(parent.loop)
        if self._known(child.id) is None or not once:
            if above.ended is not None and cluster.rules.read_the_parent:
                return True
            yield cluster.coordinators.pause()
            by = cluster.world.now + timedelta(seconds=child.goal.budget.time)
            deadline = min(above.deadline, by)
            with contextlib.suppress(ConflictError):  # another was first, or nothing was stored
                cluster.coordinators.admit(child.id, child.goal, deadline, parent, compare=once)
        return (yield from cluster.coordinators.settle(child.id, Begin()))

    def _cascade(self, loop_id: str) -> Generator[float, None, Loop]:
        """Tell each child what its parent's state means to it, until that state stays."""
        coordinators, loop = self.cluster.coordinators, self._loop(loop_id)
        while loop.children:
            for child in loop.children:
                word = self._word(loop, child)
                if word is not None:
                    yield from coordinators.settle(child.id, ControlArrived(word))
            yield coordinators.pause()
            before, loop = loop, self._loop(loop_id)
            if loop.tip == before.tip:
                break
        return loop

    def _word(self, loop: Loop, child: ChildState) -> Control | None:
        known = next(item for item in loop.children if item.id == child.id)
        heard = known.end is not None and loop.ended is None
        word = told(loop, child, None if heard else self._known(child.id))
        if word is None or word.kind != "cancel":
            return word
        rules = self.cluster.rules
        kept = rules.end_with_the_parent if loop.ended is not None else rules.stop_the_losers
        return word if kept else None

    def _known(self, loop_id: str) -> Loop | None:
        return self.cluster.log.fold(loop_id, self.cluster.coordinators.any().folds)

    def _loop(self, loop_id: str) -> Loop:
        loop = self._known(loop_id)
        assert loop is not None, loop_id
        return loop
