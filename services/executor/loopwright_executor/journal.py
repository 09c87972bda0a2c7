"""The journal of actions that must not be done twice: written before they run, and after.

One subject for each action of a loop, whatever the attempt: `effect.<loop>.<iteration>.<index>`.
Whoever is first on it, by compare-and-set, may do the action; everybody after reads there what
came of it. An entry that says `begun` and was not written by this very call is an outcome that
nobody knows: the worker died in the middle, and the action may have happened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ulid import ULID

from loopwright import subjects
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.plan import ActionOutcome
from loopwright.service.bus import Bus, Expect
from loopwright_executor.tools.call import Call

State = Literal["begun", "done", "asked"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says of an action."""

    state: State
    """`asked`: nobody knows, and a person was asked."""
    digest: str
    """Of the tool and its arguments."""
    seq: int
    mark: str
    """Of the call that began it."""
    outcome: ActionOutcome | None = None
    """Once it is done."""


class Journal(Protocol):
    """Remembers actions across attempts and workers."""

    async def begin(self, call: Call) -> tuple[bool, Entry]:
        """Whether this call may do the action, and the entry; BusUnavailableError if unknown."""
        ...

    async def write(self, call: Call, entry: Entry, state: State, outcome: ActionOutcome) -> None:
        """Say what came of it; raises ConflictError where another wrote meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class BusJournal:
    """The journal as the stream EFFECTS."""

    bus: Bus

    async def begin(self, call: Call) -> tuple[bool, Entry]:
        """See Journal. An entry of another action in this place is written over."""
        mark = str(ULID())
        found = await self._read(call)
        if found is not None and found.digest == call.digest:
            return False, found
        body = {"state": "begun", "digest": call.digest, "mark": mark}
        expected = found.seq if found is not None else 0
        try:
            seq = await self._publish(call, body, expected)
        except (ConflictError, BusUnavailableError):
            stored = await self._read(call)
            if stored is None:
                raise BusUnavailableError(f"{_subject(call)}: neither begun nor free") from None
            return stored.mark == mark, stored
        return True, Entry("begun", call.digest, seq, mark)

    async def write(self, call: Call, entry: Entry, state: State, outcome: ActionOutcome) -> None:
        """See Journal."""
        body = {
            "state": state,
            "digest": call.digest,
            "mark": entry.mark,
            "outcome": outcome.model_dump(mode="json", exclude_defaults=True),
        }
        await self._publish(call, body, entry.seq)

    async def _publish(self, call: Call, body: Mapping[str, object], expected: int) -> int:
        subject = _subject(call)
        data = json.dumps(body).encode()
        return await self.bus.publish(
            subject, data, stream=subjects.EFFECTS, expect=Expect(expected, subject)
        )

    async def _read(self, call: Call) -> Entry | None:
        stored = await self.bus.last(subjects.EFFECTS, _subject(call))
        if stored is None:
            return None
        body = json.loads(stored.body)
        outcome = body.get("outcome")
        return Entry(
            state=body["state"],
            digest=body["digest"],
            seq=stored.seq,
            mark=body["mark"],
            outcome=ActionOutcome.model_validate(outcome) if outcome else None,
        )


def _subject(call: Call) -> str:
    return subjects.effect(call.loop, call.iteration, call.index)
