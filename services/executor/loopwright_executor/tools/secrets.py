"""Secrets of the installation: put in where a goal lists them, at the last moment, never logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from loopwright.errors import StepError
from loopwright.goal import Goal

_REFERENCE = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]{0,63})\}")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The installation's secrets by name."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def fill(self, text: str, goal: Goal) -> str:
        """The text with its `${secret:NAME}` put in; StepError for one that the goal lists not."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name not in goal.secrets:
                raise StepError("permission_denied", f"the goal's `secrets` do not list {name}")
            if name not in self.values:
                raise StepError("auth", f"this installation has no secret {name}")
            return self.values[name]

        return _REFERENCE.sub(value, text)

    def of(self, goal: Goal) -> dict[str, str]:
        """The secrets that a goal's actions can have got hold of."""
        return {name: self.values[name] for name in goal.secrets if name in self.values}

    def headers(self, lines: tuple[str, ...], goal: Goal) -> dict[str, str]:
        """Headers from `Name: value` lines; StepError for a line that is none."""
        found: dict[str, str] = {}
        for line in lines:
            name, colon, text = line.partition(":")
            if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name) or "\n" in line:
                raise StepError("invalid_arguments", f"'{name[:40]}' is no header `Name: value`")
            found[name.lower()] = self.fill(text.strip(), goal)
        if {"host", "content-length", "transfer-encoding"} & set(found):
            raise StepError("invalid_arguments", "host and lengths are set by the executor")
        return found
