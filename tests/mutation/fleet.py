"""Guards of the fleet: breakers, tenants, limits, the state service."""

from __future__ import annotations

from mutation.mutant import Mutant

ROWS: tuple[Mutant, ...] = ()
