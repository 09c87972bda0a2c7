"""A loop retold from its log: what was planned in each iteration, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from loopwright.audit import Entry
from loopwright.events import (
    EventData,
    ExecutionRequested,
    LoopEnded,
    LoopHeld,
    VerificationRequested,
)
from loopwright.loop import Loop, evolve
from loopwright.memory import TEXT_CHARS, Recalled
from loopwright.plan import Plan, Verdict
from loopwright.tools import Action

#: Of one action or one check, in characters.
LINE_CHARS = 300


@dataclass(slots=True)
class Story:
    """A loop, its accepted plans by iteration, and its iterations as texts to search in."""

    loop: Loop | None = None
    plans: list[tuple[int, Plan]] = field(default_factory=list)
    episodes: list[Recalled] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Take in the next event; UnreadableError where it cannot follow."""
        before = self.loop
        loop = self.loop = evolve(before, entry.event, seq=entry.seq, body_digest=entry.body_digest)
        plan = _accepted(entry.event.data)
        if plan is not None:
            self.plans.append((loop.iteration, plan))
        if before is not None and loop.history[-1:] != before.history[-1:]:
            self.episodes.append(self._episode(loop))

    def _episode(self, loop: Loop) -> Recalled:
        item = loop.history[-1]
        plan = next((p for number, p in reversed(self.plans) if number == item.iteration), None)
        lines = [f"iteration {item.iteration}: {item.summary}"]
        lines += [line_of(action) for action in (plan.actions if plan else ())]
        if item.score is not None:
            lines.append(f"score {item.score:.2f}, {item.passed} of {item.checks} checks pass")
            lines += _failing(loop.verdict)
        elif item.note:
            lines.append(f"failed: {item.note}")
        return Recalled(
            id=f"episode-{item.iteration}",
            kind="episode",
            text="\n".join(lines)[:TEXT_CHARS],
            loop=loop.id,
            iteration=item.iteration,
            at=loop.updated_at,
        )


def tell(entries: Iterable[Entry]) -> Story:
    """The story of a log."""
    story = Story()
    for entry in entries:
        story.add(entry)
    return story


def line_of(action: Action) -> str:
    """An action in a line: its tool and the first text among its arguments."""
    first = next((value for value in action.args.values() if isinstance(value, str)), "")
    return f"{action.tool} {first}"[:LINE_CHARS]


def _accepted(data: EventData) -> Plan | None:
    """The plan that an event accepts; later events of the iteration repeat it."""
    if data.settles is None or data.settles.role != "planner" or data.settles.status != "done":
        return None
    match data:
        case ExecutionRequested() | VerificationRequested() | LoopHeld() | LoopEnded():
            return data.plan
        case _:
            return None


def _failing(verdict: Verdict | None) -> list[str]:
    checks = verdict.checks if verdict else ()
    return [f"{c.name}: {c.message}"[:LINE_CHARS] for c in checks if c.status != "passed"]
