"""What a judging model is asked, and what its answer counts for. Pure.

A vote to pass counts only with quotes, each of which stands literally in the file that it names:
what a model has not read it cannot praise, and what it was told to say it cannot prove.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ValidationError

from loopwright.checks import JudgeCheck
from loopwright.goal import Goal
from loopwright.service.llm.fence import MARK_CHARS, Block, cut, mark_of
from loopwright.service.llm.spend import MESSAGE_TOKENS, TokenBound
from loopwright.wire import Json

#: A quote shorter than this is found anywhere; a file that is shorter is quoted whole.
MIN_QUOTE_CHARS = 12
#: Less of a file than this is not worth its fences, in tokens.
MIN_BLOCK_TOKENS = 64
_NO_MARK = "0" * MARK_CHARS

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "quotes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
                "required": ["path", "text"],
                "additionalProperties": False,
            },
        },
        "passes": {"type": "boolean"},
    },
    "required": ["reason", "quotes", "passes"],
    "additionalProperties": False,
}


class _Quote(BaseModel):
    path: str
    text: str


class _Ballot(BaseModel):
    reason: str = ""
    quotes: list[_Quote] = []
    passes: bool


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer, and what it counts for."""

    passes: bool
    reason: str
    """In words, for people and for the planner."""


def read_vote(text: str, work: Mapping[str, str]) -> Vote:
    """The vote in an answer; whatever is no vote with evidence is none to pass."""
    start, end = text.find("{"), text.rfind("}")
    try:
        ballot = _Ballot.model_validate(json.loads(text[start : end + 1]), strict=True)
    except (ValueError, RecursionError, ValidationError) as error:
        return Vote(False, f"the answer is no ballot: {str(error).splitlines()[0][:200]}")
    if not ballot.passes:
        return Vote(False, ballot.reason or "no reason was given")
    wrong = _unfounded(ballot.quotes, work)
    return (
        Vote(False, f"a vote to pass without evidence: {wrong}")
        if wrong
        else Vote(True, ballot.reason)
    )


def _unfounded(quotes: Sequence[_Quote], work: Mapping[str, str]) -> str:
    if not quotes:
        return "it quotes nothing"
    for quote in quotes:
        content = work.get(quote.path)
        if content is None:
            return f"it quotes {quote.path!r}, which is no file that it was shown"
        least = min(MIN_QUOTE_CHARS, len(content.strip()))
        if len(quote.text.strip()) < max(1, least):
            return f"its quote of {quote.path} is too short to be found"
        if quote.text.strip() not in content:
            return f"its quote does not stand in {quote.path}: {quote.text.strip()[:80]!r}"
    return ""


def write_prompt(
    goal: Goal, check: JudgeCheck, work: Mapping[str, str], room: int, bound: TokenBound
) -> tuple[tuple[str, str], ...]:
    """The messages within `room` tokens, as much of the work in them as fits; empty if none does.

    `work` is in the order of its importance.
    """
    system, head = (
        _system(),
        f"Objective\n{goal.objective.strip()}\n\nRubric\n{check.rubric.strip()}\n",
    )
    left = room - bound(system) - bound(_user(head, [])) - 2 * MESSAGE_TOKENS
    if left < 0:
        return ()
    blocks = list(_fit(work, left, bound))
    return ("system", system), ("user", _user(head, blocks))


def _user(head: str, blocks: Sequence[Block]) -> str:
    mark = mark_of(blocks) if blocks else _NO_MARK
    fenced = "".join(block.fenced(mark) for block in blocks) or "\nThe work has no file.\n"
    return (
        f"{head}\nThe mark of data in this message is {mark}.\n{fenced}\nVote as one JSON object.\n"
    )


def _fit(work: Mapping[str, str], room: int, bound: TokenBound) -> Iterator[Block]:
    for path, text in work.items():
        fences = bound(Block("File", path, "").fenced(_NO_MARK))
        if room - fences < min(MIN_BLOCK_TOKENS, bound(text)):
            continue
        kept = cut(text, room - fences, bound)
        room -= fences + bound(kept)
        yield Block("File", path, kept)


@cache
def _system() -> str:
    return (files(__package__) / "prompts" / "judge_v1.md").read_text(encoding="utf-8")
