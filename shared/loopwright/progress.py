"""What a running step tells while it runs: ephemeral, kept nowhere, and nothing depends on it."""

from __future__ import annotations

from loopwright.subjects import Role
from loopwright.wire import Wire


class StepProgress(Wire):
    """How far a step has come."""

    role: Role
    iteration: int
    attempt: int
    model: str
    output_tokens: int
    """Of the answer so far, about: four characters are taken for one. What is charged is what the
    provider counts, or the worst case."""
