"""What really happened outside, however the log tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from loopwright.budget import NOTHING, Amount
from loopwright.subjects import Role


@dataclass(slots=True)
class Meters:
    """The provider's, the sandbox's and the bus's own books."""

    spent: dict[str, Amount] = field(default_factory=dict)
    runs: dict[tuple[str, Role, int, int], int] = field(default_factory=dict)
    reported: dict[int, datetime] = field(default_factory=dict)
    """When the result of a grant, by its sequence, was stored by the bus."""
    good: set[str] = field(default_factory=set)
    """Revisions of which a verifier really found every check to pass."""
    counts: Counter[str] = field(default_factory=Counter)
    """What a world is there to bring about: children, probes, refusals, leases."""
    violations: list[str] = field(default_factory=list)
    """What only somebody outside can see, as calls to a dependency that is known to be down."""

    def spend(self, loop: str, amount: Amount) -> None:
        """A provider was paid, an action was run."""
        self.spent[loop] = self.spent.get(loop, NOTHING) + amount
