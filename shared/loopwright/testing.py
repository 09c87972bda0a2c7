"""Fakes that ship: a log in memory with the real sealing and fold, and small goals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from loopwright.chain import GENESIS, LoopEvent, decode_event, digest, event_type, schema_uri
from loopwright.errors import ConflictError
from loopwright.events import EventData, LoopAdmitted
from loopwright.family import Parent
from loopwright.goal import Goal, OpenAI, parse_goal
from loopwright.loop import Loop, evolve
from loopwright.wire import Json

#: When time begins in tests.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LOOP_ID = "01JQZZZZZZZZZZZZZZZZZZZZZZ"


def playbook_goal(**overrides: Json) -> Goal:
    """A goal that a playbook of one rule works on: two checks, three uses of the rule."""
    goal: dict[str, Json] = {
        "name": "two-files",
        "objective": "Both files exist.",
        "planner": {
            "backend": "playbook",
            "rules": [
                {
                    "name": "work",
                    "when": {"start": True, "failing": ["a", "b"]},
                    "times": 3,
                    "do": [{"tool": "shell", "args": {"run": "touch a b"}}],
                }
            ],
        },
        "verify": {
            "checks": [
                {"name": "a", "kind": "file", "path": "a"},
                {"name": "b", "kind": "file", "path": "b"},
            ]
        },
        "budget": {"iterations": 3, "time": 600},
        "on_exhausted": "stop",
    }
    return parse_goal(goal | overrides)


def model_goal(**overrides: Json) -> Goal:
    """A goal that a model plans for, with token and dollar budgets and its own price."""
    planner = {
        "backend": "openai",
        "model": "test-model",
        "max_input_tokens": 1000,
        "max_output_tokens": 500,
        "price": {"input_usd_per_million": "1", "output_usd_per_million": "2"},
    }
    budget = {"iterations": 5, "tokens": 10_000, "usd": "0.01", "time": 600}
    return playbook_goal(**({"planner": planner, "budget": budget} | overrides))


@dataclass(slots=True)
class MemoryLog:
    """One loop's log: appends with compare-and-set on the tip, and the fold of what is stored."""

    loop_id: str = LOOP_ID
    sequence: Iterator[int] = field(default_factory=lambda: count(1))
    """Stream sequences; logs that share one are interleaved in one stream."""
    bodies: list[bytes] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    loop: Loop | None = None

    def admit(
        self,
        goal: Goal,
        *,
        at: datetime = EPOCH,
        tenant: str = "default",
        parent: Parent | None = None,
    ) -> Loop:
        """Append `loop_admitted`."""
        spec = goal.planner
        price = getattr(spec, "price", None)
        others = spec.other_models if isinstance(spec, OpenAI) else ()
        admitted = LoopAdmitted(
            tenant=tenant,
            goal=goal,
            goal_digest=goal.digest(),
            deadline=at + timedelta(seconds=goal.budget.time),
            price=price,
            parent=parent,
            prices={item.model: item.price for item in others if item.price},
        )
        return self.append(admitted, at=at, expected=0)

    def append(self, data: EventData, *, at: datetime, expected: int) -> Loop:
        """Append one event after tip `expected`; ConflictError if the tip is another."""
        tip = self.loop.tip if self.loop else 0
        if tip != expected:
            raise ConflictError(f"the tip is {tip}, {expected} was expected")
        event = LoopEvent(
            id=f"event-{len(self.bodies)}",
            source="/test",
            type=event_type(data.kind),
            subject=self.loop_id,
            time=at,
            dataschema=schema_uri("event"),
            n=len(self.bodies),
            prev=digest(self.bodies[-1]) if self.bodies else GENESIS,
            data=data,
        )
        body = event.encode()
        seq = next(self.sequence)
        self.loop = evolve(self.loop, decode_event(body), seq=seq, body_digest=digest(body))
        self.bodies.append(body)
        self.seqs.append(seq)
        return self.loop

    @property
    def events(self) -> list[LoopEvent]:
        """Every event, decoded from what is stored."""
        return [decode_event(body) for body in self.bodies]

    def replay(self) -> Loop | None:
        """The fold of what is stored, from the beginning."""
        loop: Loop | None = None
        for seq, body in zip(self.seqs, self.bodies, strict=True):
            loop = evolve(loop, decode_event(body), seq=seq, body_digest=digest(body))
        return loop
