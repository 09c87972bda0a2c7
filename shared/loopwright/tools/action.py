"""One tool call of a plan, and what a call can do to the world."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopwright.wire import Json, Seconds, Written, added

#: What a call changes, and so what may be done when its outcome is unknown:
#: `read` nothing, `workspace` the loop's files only (both are simply done again),
#: `external_idempotent` the world, but twice is once (done again under the same key),
#: `external_once` the world (journalled before it runs, never done again).
EffectClass = Literal["read", "workspace", "external_idempotent", "external_once"]

#: What keeps a command in, from weak to strong.
Isolation = Literal["none", "landlock", "bwrap"]


class Action(Written):
    """One tool call of a plan."""

    tool: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    """A tool's name, such as `shell`, `python` or `file.write`."""
    args: dict[str, Json] = Field(default_factory=dict)
    """The tool's own arguments."""
    timeout: Seconds | None = None
    """Wall-clock limit of this action; the goal's limit otherwise."""
    allow_failure: bool = False
    """Go on with the next action even if this one fails."""
    expect: str = added("", max_length=500)
    """What it should bring about, for people and the next plan."""
