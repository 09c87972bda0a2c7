"""Which memories fit a text: BM25 over their words, weighed by how much they are believed. Pure.

Equal scores are ordered by id, so the same memories give the same answer on every replica.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from loopwright.memory import Kept, Recalled

_WORD = re.compile(r"[^\W_]+")
#: Words that are in everything and tell nothing.
_STOP = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "do", "does", "for", "from", "has", "have",
        "in", "is", "it", "its", "not", "of", "on", "or", "so", "that", "the", "then", "this", "to",
        "was", "were", "what", "which", "with",
    }
)  # fmt: skip


def words(text: str) -> list[str]:
    """The words of a text as they are compared: folded, without those that tell nothing.

    `parse_durations` and `parseDurations` are the words of their parts; a plural is its singular.
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    folded = (match.group().casefold() for match in _WORD.finditer(apart))
    return [_stem(word) for word in folded if word not in _STOP]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def alive(memories: Iterable[Kept], now: datetime) -> list[Kept]:
    """Those that have not expired."""
    return [item for item in memories if item.expires_at is None or item.expires_at > now]


def lexical(texts: Sequence[str], question: str) -> list[float]:
    """How well each text fits the question; 0 where no word is shared."""
    asked = list(dict.fromkeys(words(question)))
    documents = [words(text) for text in texts]
    if not asked or not any(documents):
        return [0.0] * len(texts)
    import bm25s  # with numpy: only once somebody asks

    index = bm25s.BM25()
    index.index(documents, show_progress=False)
    known = [word for word in asked if word in index.vocab_dict]
    if not known:
        return [0.0] * len(texts)
    return [max(0.0, float(score)) for score in index.get_scores(known)]


def best(memories: Sequence[Recalled], scores: Sequence[float], k: int) -> list[Recalled]:
    """The `k` that fit best, those that do not fit at all left out."""
    weighed = [
        item.model_copy(update={"score": round(score * (0.5 + item.confidence / 2), 6)})
        for item, score in zip(memories, scores, strict=True)
        if score > 0
    ]
    return sorted(weighed, key=lambda item: (-item.score, item.id))[:k]


def text_of(memory: Kept | Recalled) -> str:
    """What is compared: the text and the tags."""
    return f"{memory.text} {' '.join(memory.tags)}"


def recalled(memory: Kept) -> Recalled:
    """A memory as it is answered with."""
    return Recalled(
        id=memory.id,
        kind=memory.kind,
        text=memory.text,
        tags=memory.tags,
        loop=memory.loop,
        iteration=memory.iteration,
        outcome=memory.outcome,
        confidence=memory.confidence,
        at=memory.at,
        expires_at=memory.expires_at,
    )
