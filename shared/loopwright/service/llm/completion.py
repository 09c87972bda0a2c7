"""A model's answer from the body that came with status 200, whatever that really is. Pure.

The usage comes first: an answer that cannot be used has been paid for all the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from loopwright.errors import ErrorInfo
from loopwright.service.llm.failures import of_status
from loopwright.service.llm.spend import Tokens
from loopwright.wire import Json


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back whole; `usage` is None where the provider gave none."""

    usage: Tokens | None
    text: str | None
    finish_reason: str | None = None
    refusal: str | None = None
    fault: ErrorInfo | None = None
    """Why there is no text, where the body was no completion."""


def read_answer(body: str, now: datetime) -> Answer:
    """An answer from a body with status 200, whatever it really is; its usage comes first."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _no_completion(None, f"is no JSON: {body[:80]!r}")
    if not isinstance(data, dict):
        return _no_completion(None, "is no JSON object")
    usage = usage_of(data.get("usage"))
    error = data.get("error")
    choices = data.get("choices")
    if error and not choices:
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return Answer(usage, None, fault=of_status(status, {}, body, now).info)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return _no_completion(usage, "holds no message")
    message = choice["message"]
    return Answer(
        usage,
        string(message.get("content")),
        finish_reason=string(choice.get("finish_reason")),
        refusal=string(message.get("refusal")),
    )


def _no_completion(usage: Tokens | None, why: str) -> Answer:
    message = f"the endpoint's answer {why}; check OPENAI_BASE_URL"
    return Answer(usage, None, fault=ErrorInfo(kind="invalid_output", message=message))


def usage_of(data: Json) -> Tokens | None:
    """The usage; None if it is missing or makes no sense. Zero is zero.

    Some providers count hidden reasoning in the total alone: what the total has more is output.
    """
    if not isinstance(data, dict):
        return None
    prompt, completion = data.get("prompt_tokens"), data.get("completion_tokens")
    total = data.get("total_tokens")
    if not _is_count(prompt) or not _is_count(completion):
        return None
    hidden = total - prompt - completion if _is_count(total) else 0
    output = completion + max(0, hidden)
    cached = _detail(data, "prompt_tokens_details", "cached_tokens")
    reasoning = _detail(data, "completion_tokens_details", "reasoning_tokens")
    return Tokens(prompt, output, min(cached, prompt), min(max(reasoning, hidden), output))


def _detail(data: Json, part: str, name: str) -> int:
    """A count within a part of the usage; 0 where there is none."""
    details = data.get(part)
    value = details.get(name) if isinstance(details, dict) else None
    return value if _is_count(value) else 0


def _is_count(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def string(value: Json) -> str | None:
    """The value where it is a text."""
    return value if isinstance(value, str) else None
