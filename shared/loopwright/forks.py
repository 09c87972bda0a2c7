"""A loop at an earlier point, and the goal of a new loop that begins there. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from loopwright.audit import Entry
from loopwright.errors import LoopwrightError
from loopwright.events import IterationSummary
from loopwright.goal import Goal, parse_goal
from loopwright.loop import Loop, evolve
from loopwright.origin import TOLD, TOLD_CHARS, Origin
from loopwright.wire import Json

#: What a fork takes from the loop, so that no `--set` may change it.
KEPT = ("id", "origin", "workspace")
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]")


class NoSuchPointError(LoopwrightError):
    """The loop has no such event or iteration, or the goal no such field."""


def state_at(entries: Sequence[Entry], n: int) -> Loop:
    """The loop after event `n`, by the fold alone. Raises NoSuchPointError, UnreadableError."""
    if not 0 <= n < len(entries):
        raise NoSuchPointError(f"there is no event {n}; the log has 0 to {len(entries) - 1}")
    loop: Loop | None = None
    for entry in entries[: n + 1]:
        loop = evolve(loop, entry.event, seq=entry.seq, body_digest=entry.body_digest)
    assert loop is not None
    return loop


def after_iteration(entries: Iterable[Entry], iteration: int) -> Loop:
    """The loop when that iteration had come to its end; 0 is the loop as it was admitted."""
    loop: Loop | None = None
    for entry in entries:
        loop = evolve(loop, entry.event, seq=entry.seq, body_digest=entry.body_digest)
        if _finished(loop) == iteration:
            return loop
    done = _finished(loop) if loop is not None else 0
    raise NoSuchPointError(
        f"iteration {iteration} has not come to its end; there are 0 to {done} to begin after"
    )


def _finished(loop: Loop) -> int:
    return loop.history[-1].iteration if loop.history else 0


def forked(loop: Loop, new_id: str, assignments: Sequence[str] = ()) -> Goal:
    """The goal of a loop that goes on from where `loop` is; `assignments` are `path=value`.

    It has the goal's budget afresh. Raises NoSuchPointError where an assignment names nothing that
    can be set, and GoalInvalidError where the goal is none any more.
    """
    data = loop.goal.model_dump(mode="json", by_alias=True, exclude_none=True)
    for assignment in assignments:
        assign(data, assignment)
    verdict = loop.verdict
    origin = Origin(
        loop=loop.id,
        iteration=_finished(loop),
        revision=loop.revision,
        history=tuple(map(_told, loop.history[-TOLD:])),
        failing=verdict.failing if verdict else (),
    )
    data |= {"id": new_id, "origin": origin.model_dump(mode="json", exclude_none=True)}
    return parse_goal(data)


def assign(data: Json, assignment: str) -> None:
    """Do `path=value` on JSON data: `budget.iterations=9`, `verify.checks[0].pattern=x`.

    The value is JSON where it is that, else text.
    """
    path, equals, text = assignment.partition("=")
    steps = _steps(path)
    if not equals or not steps:
        raise NoSuchPointError(f"'{assignment}' is no path=value, such as budget.iterations=9")
    if steps[0] in KEPT:
        raise NoSuchPointError(f"'{steps[0]}' cannot be set: a fork takes it from its loop")
    place = data
    for index, step in enumerate(steps):
        if not _fits(place, step):
            raise _nothing_there(path, steps[: index + 1])
        if index == len(steps) - 1:
            place[step] = _value(text)
        elif isinstance(place, dict):
            place = place.setdefault(step, {})
        else:
            place = place[step]


def _fits(place: Json, step: str | int) -> bool:
    if isinstance(place, dict):
        return isinstance(step, str)
    return isinstance(place, list) and isinstance(step, int) and step < len(place)


def _nothing_there(path: str, steps: Sequence[str | int]) -> NoSuchPointError:
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    return NoSuchPointError(f"{path}: the goal has nothing at {where}")


def _steps(path: str) -> list[str | int]:
    """The names and indices of a path; none where it is no path."""
    found: list[str | int] = []
    for part in path.split("."):
        end = 0
        for match in _STEP.finditer(part):
            if match.start() != end or (match[2] is not None) != bool(end):
                return []
            found.append(match[1] if match[2] is None else int(match[2]))
            end = match.end()
        if end != len(part) or not part:
            return []
    return found


def _value(text: str) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _told(item: IterationSummary) -> str:
    score = "" if item.score is None else f"score {item.score:.2f}, "
    came = f"{score}{item.passed} of {item.checks} checks pass" if item.executed else "failed"
    note = f" ({item.note})" if item.note else ""
    return f"{item.iteration}: {came}{note}; plan: {item.summary}"[:TOLD_CHARS]
