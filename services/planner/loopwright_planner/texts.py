"""The prompts, as versioned text files of this package: a changed text is a new file."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from string import Template


def fill(name: str, **values: str) -> str:
    """The prompt of that name with its placeholders filled."""
    return _template(name).substitute(values).strip() + "\n"


def digest(name: str) -> str:
    """The first digits of the SHA-256 of a prompt's text, before it is filled."""
    return hashlib.sha256(_template(name).template.encode()).hexdigest()[:12]


@cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "prompts" / f"{name}.md").read_text(encoding="utf-8"))
