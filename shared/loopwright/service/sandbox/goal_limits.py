"""A goal's limits as the sandbox takes them: one place for actions and for checks."""

from __future__ import annotations

from loopwright.goal import Limits as GoalLimits
from loopwright.service.sandbox.command import Limits

_MIB = 1024 * 1024


def limits_of(goal: GoalLimits, timeout_s: float, *, excerpt_bytes: int) -> Limits:
    """What one command of a goal may use, with its own wall-clock time."""
    return Limits(
        wall_s=timeout_s,
        cpu_s=timeout_s,
        memory_bytes=goal.memory_mb * _MIB,
        processes=goal.processes,
        file_bytes=goal.disk_mb * _MIB,
        output_bytes=goal.output_kb * 1024,
        excerpt_bytes=excerpt_bytes,
        disk_bytes=goal.disk_mb * _MIB,
    )
