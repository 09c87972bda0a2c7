"""The states of a loop and what may follow what: one table.

Rule 1: every change of state is in this table; the fold refuses a log in which another happens.
The diagram of the documents is drawn from it.
"""

from __future__ import annotations

from typing import Literal, get_args

LoopState = Literal[
    "admitted",
    "planning",
    "executing",
    "verifying",
    "paused",
    "awaiting_approval",
    "awaiting_children",
    "backing_off",
    "blocked",
    "budget_exhausted",
    "ended",
]

STATES: tuple[LoopState, ...] = get_args(LoopState)
WORKING: frozenset[LoopState] = frozenset({"planning", "executing", "verifying"})
#: Holds that a person can end; the others end by themselves.
WAITS_FOR_A_PERSON: frozenset[LoopState] = frozenset(
    {"paused", "awaiting_approval", "blocked", "budget_exhausted"}
)

_STEPS: tuple[LoopState, ...] = ("planning", "executing", "verifying")
#: Where every step may lead, and where from every step may be granted again.
_FROM_A_STEP: tuple[tuple[LoopState, str], ...] = (
    ("backing_off", "a step failed that may work later"),
    ("blocked", "a step failed that a person must mend"),
    ("budget_exhausted", "the next step does not fit the budget"),
    ("paused", "pause"),
    ("ended", "achieved, a limit, an error, cancel, deadline"),
)
_TO_A_STEP: tuple[tuple[LoopState, str], ...] = (
    ("backing_off", "time to try again, retry"),
    ("blocked", "retry"),
    ("paused", "resume"),
)

#: (From, to) → when. Any state may also stay as it is while a person's word or a late result is
#: recorded, and a working state when its step is tried again.
TRANSITIONS: dict[tuple[LoopState, LoopState], str] = {
    **{(step, hold): why for step in _STEPS for hold, why in _FROM_A_STEP},
    **{(hold, step): why for step in _STEPS for hold, why in _TO_A_STEP},
    ("budget_exhausted", "planning"): "amend",
    ("budget_exhausted", "executing"): "amend",
    ("budget_exhausted", "verifying"): "amend",
    ("admitted", "planning"): "begin",
    ("admitted", "ended"): "refused by policy, cancel, deadline",
    ("admitted", "paused"): "pause",
    ("admitted", "backing_off"): "the model is down",
    ("admitted", "awaiting_children"): "begin with the loops of the goal's pattern",
    ("admitted", "budget_exhausted"): "no step fits the budget",
    ("planning", "executing"): "plan accepted",
    ("planning", "verifying"): "plan without actions",
    ("planning", "awaiting_approval"): "plan to be approved, question to a person",
    ("executing", "verifying"): "outcome accepted",
    ("executing", "planning"): "an action failed: next iteration",
    ("executing", "awaiting_children"): "loops were started",
    ("verifying", "planning"): "not yet met: next iteration",
    ("verifying", "awaiting_approval"): "result to be approved",
    ("awaiting_approval", "executing"): "approve plan",
    ("awaiting_approval", "planning"): "reject, question answered",
    ("awaiting_approval", "backing_off"): "answered, the model is down",
    ("awaiting_approval", "budget_exhausted"): "approved or rejected, nothing is left",
    ("awaiting_approval", "ended"): "approve result, cancel, deadline, hold expired",
    ("paused", "awaiting_approval"): "the running step finished",
    ("awaiting_children", "executing"): "children ended: their work is taken over",
    ("awaiting_children", "paused"): "pause",
    ("awaiting_children", "ended"): "cancel, deadline",
    ("paused", "awaiting_children"): "resume",
    ("budget_exhausted", "awaiting_children"): "amend",
    ("backing_off", "paused"): "pause",
    ("backing_off", "budget_exhausted"): "the next attempt does not fit the budget",
    ("backing_off", "ended"): "cancel, deadline",
    ("blocked", "backing_off"): "retry, the model is down",
    ("blocked", "budget_exhausted"): "the next attempt does not fit the budget",
    ("blocked", "ended"): "cancel, deadline, hold expired",
    ("paused", "backing_off"): "resume, the model is down",
    ("paused", "blocked"): "the running step failed",
    ("paused", "budget_exhausted"): "the next step does not fit the budget",
    ("paused", "ended"): "the running step ended it, cancel, deadline",
    ("budget_exhausted", "backing_off"): "amend, the model is down",
    ("budget_exhausted", "ended"): "cancel, deadline, hold expired",
}  # fmt: skip


def may_follow(before: LoopState, after: LoopState) -> bool:
    """Whether a loop in one state may be in the other after one event."""
    return (before == after and before != "ended") or (before, after) in TRANSITIONS


def diagram() -> str:
    """The table as a Mermaid state diagram and as a table, in Markdown."""
    lines = [
        "# The states of a loop",
        "",
        "Written from the table in `loopwright.states`; change it there, then `make contract`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> admitted",
        *(f"    {a} --> {b}" for a, b in TRANSITIONS),
        "    ended --> [*]",
        "```",
        "",
        "| from | to | when |",
        "|---|---|---|",
        *(f"| {a} | {b} | {why} |" for (a, b), why in TRANSITIONS.items()),
    ]
    return "\n".join(lines) + "\n"
