"""Fences around data that its content cannot forge, and cutting text to a size. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from loopwright.service.llm.spend import TokenBound

#: Hexadecimal digits of a mark.
MARK_CHARS = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of data under a heading; `name` may be as foreign as the text."""

    heading: str
    name: str
    text: str

    def fenced(self, mark: str) -> str:
        """The block between its fences."""
        label = f" {json.dumps(self.name)}" if self.name else ""
        return f"\n{self.heading}\n[data {mark}{label}]\n{self.text}\n[end {mark}]\n"


def mark_of(blocks: Sequence[Block]) -> str:
    """A mark that stands in none of the blocks: a digest of them all, taken again if it does."""
    content = json.dumps([(block.name, block.text) for block in blocks])
    mark = hashlib.sha256(content.encode()).hexdigest()[:MARK_CHARS]
    while any(mark in block.text or mark in block.name for block in blocks):
        mark = hashlib.sha256(f"{mark}{content}".encode()).hexdigest()[:MARK_CHARS]
    return mark


def cut(text: str, room: int, bound: TokenBound) -> str:
    """The text within `room` tokens: whole, or its head and tail around a note, or nothing."""
    if bound(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if bound(_ends(text, kept)) <= room:
            low = kept
        else:
            high = kept - 1
    return _ends(text, low) if low else ""


def _ends(text: str, kept: int) -> str:
    """Two thirds of `kept` characters from the head, the rest from the tail."""
    tail = kept // 3
    note = f"\n[… {len(text) - kept} characters left out …]\n"
    return text[: kept - tail] + note + text[len(text) - tail :]
