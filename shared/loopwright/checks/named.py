"""What every check has: a name, a weight, and whether it must pass."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loopwright.wire import Seconds, Written

CheckName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
ColumnType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]


class NamedCheck(Written):
    """The fields of every check."""

    name: CheckName
    """Unique in the goal; planners and people refer to it."""
    required: bool = True
    """A required check must pass for the goal to be met; others only count for the score."""
    weight: float = Field(default=1.0, gt=0, le=1000)
    """Its share of the score."""


class RunningCheck(NamedCheck):
    """The fields of a check that runs something."""

    timeout: Seconds = 120.0
    repeat: int = Field(default=1, ge=1, le=10)
    """Run it so often, each time on a fresh tree; where the runs differ it is flaky, and failed."""
