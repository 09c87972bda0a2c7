"""What went wrong with a model call, from status, headers and body to one kind of error. Pure.

Whether it cost is part of the answer: a refusal costs nothing; an outcome that is not known is
charged in full.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx2

from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.wire import Json

#: Of a server's own words, as much as goes into an error.
MAX_QUOTED_CHARS = 400
#: Server errors that say "not now": nothing was done. Others leave it open what was.
_NOT_STARTED = frozenset({503, 529})
#: The connection was never made, so nothing was sent.
_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)

_OVERFLOW = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "context length",
    "prompt is too long",
    "too many tokens",
)
_FILTERED = ("content_filter", "content_policy", "content management policy", "moderation")
_BILLING = (
    "insufficient_quota",
    "billing",
    "exceeded your current quota",
    "credit balance",
    "insufficient credit",
    "insufficient balance",
)
_NO_MODEL = ("model_not_found", "model not found", "unknown model")


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that gave no answer."""

    info: ErrorInfo
    costs: bool
    """Whether it must be taken for spent: the provider may have worked on it."""
    status: int | None = None
    said: str = ""
    """The server's words, for telling which feature it refuses."""


def of_status(status: int, headers: Mapping[str, str], body: str, now: datetime) -> Failure:
    """The failure behind an HTTP status that is an error."""
    error = _error_of(body)
    said = _words(error) or ("an HTML page" if body.lstrip().startswith("<") else _plain(body))
    kind = _kind(status, f"{error.get('code')} {error.get('type')} {said}".lower())
    message = f"the model's endpoint answered {status}"
    quoted = f": {said[:MAX_QUOTED_CHARS]}" if said else ""
    info = ErrorInfo(
        kind=kind, message=f"{message}{quoted}", retry_after_s=retry_after_s(headers, now)
    )
    costs = status == 408 or (status >= 500 and status not in _NOT_STARTED)
    return Failure(info, costs=costs, status=status, said=said)


def of_transport(error: Exception) -> Failure:
    """The failure behind an exception of the client library: no status was received."""
    import openai  # here and not above: it takes a second, and most processes never call a model

    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    what = type(cause).__name__
    if isinstance(cause, _UNSENT):
        message = f"the model's endpoint could not be reached ({what}); check OPENAI_BASE_URL"
        return Failure(ErrorInfo(kind="network", message=message), costs=False)
    if isinstance(cause, httpx2.TimeoutException) or isinstance(error, openai.APITimeoutError):
        message = f"the model's answer did not come in time ({what})"
        return Failure(ErrorInfo(kind="timeout", message=message), costs=True)
    message = f"the connection to the model's endpoint broke ({what})"
    return Failure(ErrorInfo(kind="network", message=message), costs=True)


def of_finish(finish_reason: str | None, refusal: str | None) -> ErrorInfo | None:
    """What a complete answer itself says went wrong, if it does."""
    if finish_reason == "content_filter":
        return ErrorInfo(
            kind="content_filtered", message="the provider's filter stopped the answer"
        )
    if refusal:
        message = f"the model refused: {refusal[:MAX_QUOTED_CHARS]}"
        return ErrorInfo(kind="content_filtered", message=message)
    if finish_reason == "length":
        message = (
            "the answer was cut at the output cap; make the plan shorter, "
            "or raise planner.max_output_tokens"
        )
        return ErrorInfo(kind="invalid_output", message=message)
    return None


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as `retry-after-ms` or `retry-after` ask, the latter also as a date."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return max(0.0, millis / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    try:
        at = parsedate_to_datetime(value) if value else None
    except (ValueError, OverflowError):
        return None
    if at is None or at.tzinfo is None:
        return None
    return max(0.0, (at - now).total_seconds())


def _kind(status: int, said: str) -> ErrorKind:
    if status == 402 or (status in (400, 403, 429) and _mentions(said, _BILLING)):
        return "billing"
    if status == 429:
        return "rate_limited"
    if status in (400, 403) and _mentions(said, _FILTERED):
        return "content_filtered"
    if status in (401, 403):
        return "auth"
    if status == 404 or (status in (400, 422) and _mentions(said, _NO_MODEL)):
        return "model_not_found"
    if status == 413 or (status in (400, 422) and _mentions(said, _OVERFLOW)):
        return "context_overflow"
    if status == 408:
        return "timeout"
    return "overloaded" if status >= 500 or status in (409, 425) else "invalid_arguments"


def _mentions(said: str, words: tuple[str, ...]) -> bool:
    return any(word in said for word in words)


def _error_of(body: str) -> dict[str, Json]:
    """The error object of a body, or an empty one; servers wrap it or do not."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    error = data.get("error", data)
    return error if isinstance(error, dict) else {"message": str(error)}


def _words(error: dict[str, Json]) -> str:
    value = error.get("message") or error.get("detail") or ""
    return _plain(value if isinstance(value, str) else json.dumps(value))


def _plain(text: str) -> str:
    """One line of printable characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
