"""What people say to a running loop. Unknown fields are errors; ids make them idempotent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loopwright.wire import Written

RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]


class Cancel(Written):
    """End the loop now; open grants are charged in full, the best work is delivered."""

    kind: Literal["cancel"] = "cancel"
    id: RequestId
    """The sender's own; a repeat of the same id does nothing more."""
    reason: str = Field(default="", max_length=2000)
    """For the log."""


Control = Cancel
