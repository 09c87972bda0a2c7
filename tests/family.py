"""A family on the table: a loop, the loops that it starts, and the word between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from loopwright.audit import Entry, audit
from loopwright.budget import Amount
from loopwright.chain import digest
from loopwright.control import Cancel
from loopwright.events import LoopHeld
from loopwright.family import Parent, Spawned
from loopwright.goal import Goal
from loopwright.testing import MemoryLog
from loopwright_coordinator.families import end_of, told
from loopwright_coordinator.inputs import Begin, ChildEnded, ControlArrived, Decision
from table import Table


def spawned(table: Table) -> tuple[Spawned, ...]:
    """What the loop's newest event starts."""
    data = table.log.events[-1].data
    return data.children if isinstance(data, LoopHeld) else ()


@dataclass
class Family:
    """A root with the tables of its children, by id."""

    goal: Goal
    children: dict[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = Table(self.goal)

    def begin(self) -> LoopHeld:
        """Begin the root with its pattern, and admit the loops that it starts."""
        held = self.root.begin()
        assert isinstance(held, LoopHeld), held
        self.admit()
        return held

    def admit(self) -> None:
        """Admit what the root's newest event starts, and begin it."""
        for index, child in enumerate(spawned(self.root)):
            table = Table(child.goal, now=self.root.now, log=MemoryLog(child.id), parent=Parent(
                loop=self.root.loop.id, n=self.root.loop.n, index=index))  # fmt: skip
            self.children[child.id] = table
            table.give(Begin())

    @property
    def tables(self) -> list[Table]:
        return list(self.children.values())

    def tell(self, child: Table) -> Decision:
        """Tell the root that a child has ended."""
        assert child.loop.ended is not None
        self.root.now = max(self.root.now, child.now)
        return self.root.give(ChildEnded(end_of(child.loop)))

    def cascade(self) -> list[str]:
        """Do to each child what the root's state means to it; the kinds of the words."""
        words = list[str]()
        for known in self.root.loop.children:
            table = self.children[known.id]
            table.now = max(table.now, self.root.now)
            word = told(self.root.loop, known, table.loop)
            if word is not None:
                words.append(word.kind)
                table.give(ControlArrived(word))
        return words

    def achieve(self, child: Table, revision: str = "1" * 40) -> None:
        """One iteration of a child in which every check passes."""
        child.work("a", "b", revision=revision)
        assert child.loop.ended == "achieved"

    def cancel(self, child: Table) -> None:
        child.say(Cancel(id="cancel-this"))

    def audits(self) -> list[str]:
        """What the audit finds in any log of the family."""
        found = []
        for table in (self.root, *self.tables):
            log = table.log
            found += audit(
                [
                    Entry(event, seq, digest(body))
                    for event, seq, body in zip(log.events, log.seqs, log.bodies, strict=True)
                ]
            )
        return found

    def used(self) -> Amount:
        """What the whole family has really been charged, each loop by its own log."""
        total = Amount()
        for table in (self.root, *self.tables):
            for event in table.log.events:
                if event.data.settles is not None:
                    total += event.data.settles.charged
        return total
