"""Guards of workspaces and verification."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
