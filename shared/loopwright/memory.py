"""What loops learn and other loops may be told: records of the MEMORY stream, and their queries.

Each memory has one subject, `memory.<tenant>.<id>`, and the stream keeps its newest record only. A
memory is kept by compare-and-set on nothing, so it is written once; what is forgotten leaves a
record without its text in its place, so it cannot come back, whatever is replayed or rebuilt.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from loopwright.ids import LoopId
from loopwright.wire import Wire, Written

#: A fact is a thing to know, a lesson what a loop did and what came of it.
MemoryKind = Literal["fact", "lesson"]
#: Besides what is kept: what one loop has done so far, from its own log.
RecallKind = Literal["fact", "lesson", "episode"]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")]
MemoryId = Annotated[str, StringConstraints(pattern=r"^(fact|lesson)-[0-9A-Za-z]{8,40}$")]

#: A memory's text, in characters.
TEXT_CHARS = 2000
#: Memories of one answer.
MOST = 200


class Kept(Wire):
    """A memory."""

    event: Literal["kept"] = "kept"
    id: str
    tenant: str
    kind: MemoryKind
    text: str = Field(max_length=TEXT_CHARS)
    tags: tuple[str, ...] = ()
    loop: str
    """Which loop learned it."""
    iteration: int = 0
    outcome: str = ""
    """How that loop ended."""
    confidence: float = Field(ge=0, le=1)
    at: datetime
    expires_at: datetime | None = None


class Forgotten(Wire):
    """A memory that somebody had forgotten: it is not kept again."""

    event: Literal["forgotten"] = "forgotten"
    id: str
    tenant: str
    at: datetime


MemoryRecord = Annotated[Kept | Forgotten, Field(discriminator="event")]
RECORD: TypeAdapter[Kept | Forgotten] = TypeAdapter(MemoryRecord)


class Recalled(Wire):
    """A memory that fits a question, and how well."""

    id: str
    kind: RecallKind
    text: str
    tags: tuple[str, ...] = ()
    loop: str
    iteration: int = 0
    outcome: str = ""
    confidence: float = 1.0
    score: float = 0.0
    """Comparable within one answer only; 0 in a plain list."""
    at: datetime | None = None
    expires_at: datetime | None = None


class RecallQuery(Written):
    """The `k` memories that fit a text best; with `loop`, what that loop has done."""

    text: str = Field(min_length=1, max_length=50_000)
    k: int = Field(default=5, ge=1, le=50)
    loop: LoopId | None = None


class MemoryQuery(Written):
    """The newest memories, or one."""

    id: MemoryId | None = None
    kind: MemoryKind | None = None
    tag: Tag | None = None
    limit: int = Field(default=50, ge=1, le=MOST)


class ForgetRequest(Written):
    """Forget a memory for good."""

    id: MemoryId


def fact_id(tenant: str, text: str) -> str:
    """The id of a fact: the same words are the same fact, whoever learns them, however often."""
    words = f"{tenant}\0{' '.join(text.casefold().split())}"
    return f"fact-{hashlib.sha256(words.encode()).hexdigest()[:20]}"


def lesson_id(loop: str) -> str:
    """The id of what a loop as a whole has taught."""
    return f"lesson-{loop}"
