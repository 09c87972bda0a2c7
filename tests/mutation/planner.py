"""Guards of planning."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
