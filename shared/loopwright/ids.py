"""Identifiers: loop ids are ULIDs; event and request ids are unique strings."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints
from ulid import ULID

#: A ULID in Crockford's base 32: 26 characters, sortable by the time of submission.
LOOP_ID_PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
_LOOP_ID = re.compile(LOOP_ID_PATTERN)

LoopId = Annotated[str, StringConstraints(pattern=LOOP_ID_PATTERN)]


def new_loop_id() -> str:
    """A fresh loop id from the clock and the system's randomness."""
    return str(ULID())


def is_loop_id(text: str) -> bool:
    """Whether `text` may stand in a subject, a path or a key as a loop id."""
    return _LOOP_ID.match(text) is not None


def loop_id_for(moment: datetime, *parts: str) -> str:
    """The id of a goal that came without one: the same message gives the same id.

    A redelivered goal must not become a second loop, so the id is taken from the
    moment at which the stream stored the message and a digest of what identifies it.
    """
    stamp = int(moment.timestamp() * 1000).to_bytes(6, "big")
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return str(ULID.from_bytes(stamp + digest[:10]))
