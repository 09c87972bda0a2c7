"""What an executed plan comes to: pure functions over actions and their outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome
from loopwright.tools import Action

#: Text of one action's stdout and of its stderr that is kept as feedback, in characters.
TEXT_CHARS = 4_000
#: Text of all actions together; beyond it only an action's status is kept.
ALL_TEXT_CHARS = 40_000
#: Paths that an outcome names.
NAMED_CHANGES = 200


def skipped(actions: Sequence[Action]) -> list[ActionOutcome]:
    """The outcomes of the actions that a failure before them kept from running."""
    return [ActionOutcome(tool=action.tool, status="skipped") for action in actions]


def stops(action: Action, outcome: ActionOutcome) -> bool:
    """Whether the plan ends here: the action failed and had to succeed."""
    return outcome.status == "failed" and not action.allow_failure


def excerpt(text: str, limit: int = TEXT_CHARS) -> str:
    """Head and tail of a text, with how much was left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def bounded(outcomes: Sequence[ActionOutcome]) -> tuple[ActionOutcome, ...]:
    """The outcomes with at most ALL_TEXT_CHARS of text: the newest keep theirs, failures first."""
    order = sorted(range(len(outcomes)), key=lambda i: (outcomes[i].status != "failed", -i))
    left, kept = ALL_TEXT_CHARS, dict[int, ActionOutcome]()
    for index in order:
        outcome = outcomes[index]
        size = len(outcome.stdout) + len(outcome.stderr)
        if size > left:
            outcome = outcome.model_copy(update={"stdout": "", "stderr": ""})
        left -= min(size, left)
        kept[index] = outcome
    return tuple(kept[index] for index in range(len(outcomes)))


def replaced(text: str, old: str, new: str, path: str) -> str:
    """`text` with the one occurrence of `old` replaced; StepError where there is not just one."""
    count = text.count(old)
    if count != 1:
        raise StepError(
            "invalid_arguments",
            f"{path}: the text to replace occurs {count} times, it must occur exactly once",
        )
    return text.replace(old, new)
