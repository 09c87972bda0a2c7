"""Which parts of a loop's state fit into a prompt, in order of importance, and what did not. Pure.

Each section may take its share of what those before it left; a block that is too long keeps its
head and tail, one for which there is no room is left out. The same state gives the same choice,
and the choice is recorded in the plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from loopwright.plan import SectionUse
from loopwright.service.llm.fence import MARK_CHARS, Block, cut
from loopwright.service.llm.spend import TokenBound

#: Less of a block than this is not worth its fences, in tokens.
MIN_BLOCK_TOKENS = 64
#: As long as any mark.
NO_MARK = "0" * MARK_CHARS


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks of one kind, and the share of the room that is left which each of them may take."""

    name: str
    share: float
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The blocks that are in, and what became of each section."""

    blocks: tuple[Block, ...]
    uses: tuple[SectionUse, ...]


def fit(sections: Iterable[Section], room: int, bound: TokenBound) -> Fitted:
    """The blocks within `room` tokens, the sections in their order."""
    blocks: list[Block] = []
    uses: list[SectionUse] = []
    for section in sections:
        kept, left_out, before = list[Block](), 0, room
        for block in section.blocks:
            found = _cut(block, int(room * section.share), bound)
            if found is None:
                left_out += 1
                continue
            room -= bound(found.fenced(NO_MARK))
            kept.append(found)
        wanted = sum(bound(block.fenced(NO_MARK)) for block in section.blocks)
        use = SectionUse(name=section.name, wanted=wanted, kept=before - room, left_out=left_out)
        blocks += kept
        uses.append(use)
    return Fitted(tuple(blocks), tuple(uses))


def _cut(block: Block, room: int, bound: TokenBound) -> Block | None:
    """The block within `room` tokens, its fences included; None where that is not worth it."""
    fences = bound(Block(block.heading, block.name, "").fenced(NO_MARK))
    allowed = room - fences
    if allowed < min(MIN_BLOCK_TOKENS, bound(block.text)):
        return None
    return Block(block.heading, block.name, cut(block.text, allowed, bound))
