"""A streamed answer put together from its events: whole, or said to be cut. Pure.

A stream that ends early may end cleanly: only a finish reason makes an answer whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from loopwright.errors import ErrorInfo
from loopwright.service.llm.completion import Answer, string, usage_of
from loopwright.service.llm.failures import Failure, of_status
from loopwright.wire import Json

#: What ends a stream, in place of an event.
_DONE = "[DONE]"


@dataclass(slots=True)
class Streamed:
    """What has come so far."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    chars: int = 0
    """Of text and refusal."""
    finish_reason: str | None = None
    usage: Json = None
    error: Json = None
    """An event that is an error, as some servers send it in the middle."""
    broken: str | None = None
    """The beginning of an event that is none."""

    @property
    def over(self) -> bool:
        """Whether nothing after this can make it an answer."""
        return self.broken is not None or self.error is not None

    def take(self, line: str) -> None:
        """One line of the stream; lines that hold no event say nothing."""
        name, _, value = line.partition(":")
        value = value.strip()
        if name != "data" or not value or value == _DONE:
            return
        try:
            event = json.loads(value)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self.broken = value[:80]
            return
        self.error = event.get("error") or self.error
        if event.get("usage") is not None:
            self.usage = event["usage"]
        choices = event.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self._choice(choices[0])

    def _choice(self, choice: dict[str, Json]) -> None:
        self.finish_reason = string(choice.get("finish_reason")) or self.finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        for place, found in (
            (self.text, delta.get("content")),
            (self.refusal, delta.get("refusal")),
        ):
            if isinstance(found, str):
                place.append(found)
                self.chars += len(found)

    def answer(self, now: datetime) -> Answer | Failure:
        """The answer; the failure of a stream that ended before it."""
        usage = usage_of(self.usage)
        if self.broken is not None:
            message = f"the endpoint's stream holds an event that is no JSON: {self.broken!r}"
            return Answer(None, None, fault=ErrorInfo(kind="invalid_output", message=message))
        if self.error is not None:
            body = json.dumps({"error": self.error})
            code = self.error.get("code") if isinstance(self.error, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            return Answer(usage, None, fault=of_status(status, {}, body, now).info)
        if self.finish_reason is None:
            message = f"the endpoint's stream ended after {self.chars} characters of its answer"
            return Failure(ErrorInfo(kind="network", message=message), costs=True)
        return Answer(
            usage,
            "".join(self.text) or None,
            finish_reason=self.finish_reason,
            refusal="".join(self.refusal) or None,
        )
