"""Checks of the revision as a whole: what must not have changed, how large it may be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopwright.checks.named import NamedCheck


class UnchangedCheck(NamedCheck):
    """Files are as they were in the goal's workspace: none changed, added or removed."""

    kind: Literal["unchanged"]
    paths: tuple[str, ...] = Field(min_length=1)
    """Patterns as in .gitignore, such as `tests/**`."""


class SizeCheck(NamedCheck):
    """The workspace, and what the loop did to it, stay within bounds."""

    kind: Literal["size"]
    max_files: int | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=None, ge=0)
    """Of all files together."""
    max_file_bytes: int | None = Field(default=None, ge=0)
    max_changed: int | None = Field(default=None, ge=0)
    """Paths that differ from the goal's workspace."""


class ConsistencyCheck(NamedCheck):
    """The plan, its outcome and the revision tell the same story.

    The revision descends from the goal's workspace, its changes are those that the executor
    reported, and the reported actions are the plan's.
    """

    kind: Literal["consistency"]
