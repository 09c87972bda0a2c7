"""What one mutant is: a guard of the product, what it becomes, and the test that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard taken out."""

    name: str
    """What the product does without it, as a sentence."""
    file: str
    """The file of the guard, from the root of the checkout."""
    text: str
    """The guard: occurs exactly once in the file."""
    replacement: str
    test: str
    """The test that must turn red: a file from the root, or one of its tests by `::`."""

    def applied(self, source: str) -> str:
        """The file's text without the guard; ValueError where the guard is not there once."""
        found = source.count(self.text)
        if found != 1:
            raise ValueError(
                f"{self.name}: {self.file} holds {self.text!r} {found} times, not once"
            )
        return source.replace(self.text, self.replacement)
