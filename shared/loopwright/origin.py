"""Where a forked loop comes from: what it takes over of the loop that it was forked from."""

from __future__ import annotations

from pydantic import Field

from loopwright.ids import LoopId
from loopwright.wire import Written

#: Iterations of the other loop that are told, the newest last.
TOLD = 20
#: A line of it, in characters.
TOLD_CHARS = 1000


class Origin(Written):
    """The loop and the iteration that a loop begins after. Written by `loopwright fork`.

    It says where the work begins, never what it is judged by: checks compare with the goal's own
    workspace, so what the other loop changed there stays a change.
    """

    loop: LoopId
    iteration: int = Field(ge=0)
    """The last iteration that is taken over; 0 begins anew."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Its workspace, in the object store under this loop's own id."""
    history: tuple[str, ...] = Field(default=(), max_length=TOLD)
    """What the other loop did, one line an iteration, for the planner."""
    failing: tuple[str, ...] = Field(default=(), max_length=500)
    """Names of the checks that did not pass after that iteration."""
