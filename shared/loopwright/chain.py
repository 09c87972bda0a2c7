"""CloudEvents and the hash chain: sealing an event into bytes, and reading it back.

An event's body is a structured-mode CloudEvent (JSON). `prev` is the SHA-256 of the body of the
event before it, as stored, so a flipped bit, a gap or a cut shows to anyone who reads the log.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from loopwright.errors import NewerError, UnreadableError
from loopwright.events import EventData
from loopwright.ids import LoopId
from loopwright.results import Result
from loopwright.wire import Wire

#: `prev` of a loop's first event.
GENESIS = "0" * 64
#: The newest `minreader` that this code can fold.
READER = 1

DataT = TypeVar("DataT")


class CloudEvent(Wire, Generic[DataT]):
    """CloudEvents 1.0 attributes and the data."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, max_length=128)
    source: str
    type: str
    subject: LoopId
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    traceparent: str | None = None
    data: DataT


class LoopEvent(CloudEvent[EventData]):
    """An event of a loop's log: a CloudEvent with its place in the chain."""

    n: int = Field(ge=0)
    """Position in the loop, from 0."""
    prev: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the previous event's body; zeros for the first."""
    minreader: int = 1
    """The oldest reader that may fold this event."""

    def encode(self) -> bytes:
        """The body as it is stored and hashed."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class ResultEvent(CloudEvent[Result]):
    """A worker's result on the wire."""

    def encode(self) -> bytes:
        """The body as it is published."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


_EVENT: TypeAdapter[LoopEvent] = TypeAdapter(LoopEvent)
_RESULT: TypeAdapter[ResultEvent] = TypeAdapter(ResultEvent)


def digest(body: bytes) -> str:
    """What the next event's `prev` must be."""
    return hashlib.sha256(body).hexdigest()


def event_type(kind: str) -> str:
    """The CloudEvents type of an event or result kind."""
    return f"dev.loopwright.{kind}.v1"


def schema_uri(name: str) -> str:
    """Where the schema of a message lives, relative to the project's docs."""
    return f"loopwright:contract/{name}.json"


def decode_event(body: bytes) -> LoopEvent:
    """A log event from its stored body, or UnreadableError in a sentence.

    NewerError where the event says that it needs a newer reader, whatever else is in it.
    """
    try:
        event = _EVENT.validate_json(body)
    except ValidationError as error:
        _refuse_newer(body)
        raise UnreadableError(_why("event", error)) from error
    if event.minreader > READER:
        raise NewerError(f"event {event.id} needs reader {event.minreader}, this is {READER}")
    return event


def _refuse_newer(body: bytes) -> None:
    """An event of a kind that is not known yet is no damaged one."""
    try:
        needed = json.loads(body)["minreader"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(needed, int) and needed > READER:
        raise NewerError(f"an event needs reader {needed}, this is {READER}")


def decode_result(body: bytes) -> ResultEvent:
    """A result from its published body, or UnreadableError in a sentence."""
    try:
        return _RESULT.validate_json(body)
    except ValidationError as error:
        raise UnreadableError(_why("result", error)) from error


def _why(what: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"no {what}: {where or 'body'}: {first['msg']} ({error.error_count()} faults)"
