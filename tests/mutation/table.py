"""Every mutant, by the part of the product whose guard it takes out; rows are in those files."""

from __future__ import annotations

from mutation import (
    control,
    fleet,
    memory,
    operation,
    patterns,
    planner,
    sandbox,
    stopping,
    verification,
)
from mutation.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *control.ROWS,
    *stopping.ROWS,
    *fleet.ROWS,
    *planner.ROWS,
    *memory.ROWS,
    *sandbox.ROWS,
    *verification.ROWS,
    *patterns.ROWS,
    *operation.ROWS,
)
