"""Which request features a model's server takes: learnt from its refusals, for this process.

Servers differ and none can be asked: one answers 500 to a JSON schema, one knows only the older
name of the output cap. Every refusal leads one rung down, so there are few of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from loopwright.service.llm.failures import Failure

T = TypeVar("T")
Format = Literal["json_schema", "json_object", "text"]
CapField = Literal["max_tokens", "max_completion_tokens"]

#: From the fullest to the plainest.
_FORMATS: tuple[Format, ...] = ("json_schema", "json_object", "text")
_CAPS: tuple[CapField, ...] = ("max_tokens", "max_completion_tokens")
#: Settings that an answer can do without, as the endpoint calls them.
_OPTIONAL = ("reasoning_effort", "temperature", "seed")
#: What answers can be given without too: piece by piece.
STREAM = "stream"
#: As a word: "upstream", which many proxies say, is another matter.
_ABOUT_STREAM = re.compile(r"\bstream(ing|_options)?\b")
_REFUSED_STREAM = frozenset({400, 422, 501})
_REFUSALS = frozenset({400, 422, 500, 501})
_ABOUT_FORMAT = (
    "response_format",
    "json_schema",
    "json_object",
    "structured output",
    "json mode",
    "json schema",
    "grammar",
)


@dataclass(frozen=True, slots=True)
class Features:
    """How a model is asked."""

    format: Format = "json_schema"
    cap: CapField = "max_tokens"
    """The older name first: a server that does not want it says so, at no cost, while one that
    does not know the newer name might ignore it and answer without any cap."""
    dropped: frozenset[str] = frozenset()
    """Settings that the server refused, so that they are left out."""

    def kept(self, setting: str, value: T) -> T | None:
        """A setting's value, unless the server refused the setting."""
        return None if setting in self.dropped else value

    def unstreamed(self) -> Features:
        """The features with answers at once."""
        return replace(self, dropped=self.dropped | {STREAM})

    def _names_streams(self, said: str) -> bool:
        return STREAM not in self.dropped and _ABOUT_STREAM.search(said) is not None

    def without(self, failure: Failure) -> Features | None:
        """The features without the one that a failure refuses; None if it refuses none."""
        said = failure.said.lower()
        if failure.status not in _REFUSALS:
            return None
        if self.cap == "max_tokens" and "max_completion_tokens" in said:
            return replace(self, cap="max_completion_tokens")
        refused = next((s for s in _OPTIONAL if s in said and s not in self.dropped), None)
        if refused is not None:
            return replace(self, dropped=self.dropped | {refused})
        if failure.status in _REFUSED_STREAM and self._names_streams(said):
            return self.unstreamed()
        if self.format != "text" and any(word in said for word in _ABOUT_FORMAT):
            return replace(self, format=_FORMATS[_FORMATS.index(self.format) + 1])
        return None


@dataclass(slots=True)
class Capabilities:
    """What is known of each model so far."""

    _known: dict[str, Features] = field(default_factory=dict)

    def of(self, model: str) -> Features:
        """How to ask a model: the fullest way that it has not refused."""
        return self._known.get(model, Features())

    def learn(self, model: str, features: Features) -> None:
        """Ask this way from now on, or plainer: a call that began earlier cannot lead up again."""
        known = self.of(model)
        self._known[model] = Features(
            format=max(known.format, features.format, key=_FORMATS.index),
            cap=max(known.cap, features.cap, key=_CAPS.index),
            dropped=known.dropped | features.dropped,
        )
