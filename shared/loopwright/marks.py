"""What an iteration leaves behind to tell a loop that repeats itself: digests, no texts. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from loopwright.plan import Outcome, Plan, Verdict
from loopwright.tools import Action
from loopwright.wire import Wire

#: Hexadecimal digits of a digest: two that differ are taken for the same once in 2^64.
_DIGITS = 16
#: What differs between two runs of the same thing: durations, clock times, addresses, folders.
_NOISE = re.compile(
    r"0x[0-9a-fA-F]+|/\S*/(?:loopwright|tmp)[^\s:]*|\d+\.\d+(?:e-?\d+)?|\d\d:\d\d(?::\d\d)?"
)


class Mark(Wire):
    """One iteration: what was done, what was seen, and where that left the workspace."""

    iteration: int
    actions: str
    """Digest of the plan's actions."""
    seen: str
    """Digest of the actions' results and of the checks that passed."""
    tree: str | None = None
    """The workspace's contents, where a step committed."""
    error: str | None = None
    """Digest of why the step failed, where it did."""


def mark_of(
    iteration: int, plan: Plan | None, outcome: Outcome | None, verdict: Verdict | None
) -> Mark:
    """The mark of an iteration that came to its end."""
    actions = plan.actions if plan else ()
    seen = [
        [[a.tool, a.status, a.exit_code, a.failure, _text(a.stdout), _text(a.stderr)]
         for a in outcome.actions] if outcome else [],
        [[c.path, c.kind, c.bytes] for c in outcome.changes] if outcome else [],
        sorted(verdict.passed) if verdict else [],
    ]  # fmt: skip
    failed = outcome is not None and not outcome.succeeded
    return Mark(
        iteration=iteration,
        actions=_digest([a.model_dump(mode="json", exclude={"expect"}) for a in actions]),
        seen=_digest(seen),
        tree=outcome.tree if outcome else None,
        error=_digest(_failure(outcome)) if outcome and failed else None,
    )


def is_poll(plan: Plan | None, patterns: Sequence[str]) -> bool:
    """Whether a plan only waits for something, as its goal has declared."""
    if plan is None or not plan.actions or not patterns:
        return False
    return all(any(fnmatchcase(_line(a), p) for p in patterns) for a in plan.actions)


def plan_digest(plan: Plan) -> str:
    """What an approval of a plan names."""
    return _digest(plan.model_dump(mode="json", exclude={"made"}))


def _line(action: Action) -> str:
    """An action as one line: the tool and its first argument's text."""
    first = next((value for value in action.args.values() if isinstance(value, str)), "")
    return f"{action.tool} {first}".strip()


def _failure(outcome: Outcome) -> list[object]:
    return [
        [a.tool, a.exit_code, a.failure, _text(a.stderr or a.stdout)]
        for a in outcome.actions
        if a.status == "failed"
    ]


def _text(text: str) -> str:
    return _NOISE.sub("#", text)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
