"""Whether a running command is past one of its limits."""

from __future__ import annotations

import resource
import time

from . import folders, tree

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing is slow to load
    from .spec import Spec

#: How often memory and CPU time of the tree are looked at, in seconds.
TICK_S = 0.1
#: How often, and for how long at most, the folders are measured, in seconds.
DISK_EVERY_S, DISK_BUDGET_S = 0.5, 0.025


class Watch:
    """The limits of one command, from the moment it begins."""

    def __init__(self, spec: Spec, roots: list[str], disk_before: int) -> None:
        self._spec = spec
        self._gauge = folders.Gauge(roots, disk_before)
        self._disks = {folders.device_of(root) for root in roots}
        self._disk_limit = disk_before + spec["disk_bytes"]
        self._began = time.monotonic()
        self._look_at = self._began + TICK_S
        self._measure_at = self._began + DISK_EVERY_S
        self.peak_bytes = 0
        """Highest resident memory seen."""

    @property
    def duration_s(self) -> float:
        """Since the command began."""
        return time.monotonic() - self._began

    def pause_s(self) -> float:
        """How long nothing needs to be looked at."""
        return max(0.0, min(TICK_S, self._spec["wall_s"] - self.duration_s))

    def passed_limit(self) -> str | None:
        """The limit that is passed now, if one is."""
        now = time.monotonic()
        if now - self._began >= self._spec["wall_s"]:
            return "wall"
        if now < self._look_at:
            return None
        self._look_at = now + TICK_S
        used = tree.usage(self._disks)
        self.peak_bytes = max(self.peak_bytes, used.memory_bytes)
        if used.memory_bytes > self._spec["memory_bytes"]:
            return "memory"
        if used.cpu_s + cpu_of_the_dead_s() > self._spec["cpu_s"]:
            return "cpu"
        return self._passed_disk_limit(now, used.unlinked_disk_bytes)

    def _passed_disk_limit(self, now: float, unlinked_bytes: int) -> str | None:
        if now >= self._measure_at:
            self._gauge.advance(DISK_BUDGET_S)
            self._measure_at = time.monotonic() + DISK_EVERY_S
        return "disk" if self._gauge.size_bytes + unlinked_bytes > self._disk_limit else None


def cpu_of_the_dead_s() -> float:
    """CPU time of all processes that were reaped, here or by their parents."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
