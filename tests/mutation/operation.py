"""Guards of operation: permissions, credentials, images."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
