"""Guards of patterns: children, races, maps."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
