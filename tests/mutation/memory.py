"""Guards of memory, estimates, replay and forks."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
