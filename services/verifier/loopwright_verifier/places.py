"""Files and lines that a check's output names, for the planner and for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from loopwright.plan import Place

#: Places that are kept of one check.
MOST = 12
_MESSAGE_CHARS = 200
#: `src/a.py:12: message`, as compilers, linters and pytest write it; a column may stand between.
_COLON = re.compile(r"^\s*(?P<path>[\w./@+-]+):(?P<line>\d{1,7})(?::\d+)?:?\s*(?P<said>.*)$")
#: As Python's own tracebacks write it.
_TRACEBACK = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d{1,7})(?P<said>.*)$')


def places(text: str, paths: Collection[str], tree: str = "") -> tuple[Place, ...]:
    """Where a text points, as far as it is a file of the workspace; each line once."""
    seen: dict[tuple[str, int], Place] = {}
    for place in _found(text, paths, f"{tree}/" if tree else ""):
        seen.setdefault((place.path, place.line), place)
        if len(seen) == MOST:
            break
    return tuple(seen.values())


def _found(text: str, paths: Collection[str], prefix: str) -> Iterator[Place]:
    for line in text.splitlines():
        match = _COLON.match(line) or _TRACEBACK.match(line)
        if match is None:
            continue
        path = match["path"].removeprefix(prefix).removeprefix("./")
        if path in paths:
            said = match["said"].strip(" ,")[:_MESSAGE_CHARS]
            yield Place(path=path, line=int(match["line"]), message=said)


def named(found: tuple[Place, ...]) -> str:
    """The first of them in words."""
    return ", ".join(f"{place.path}:{place.line}" for place in found[:3])
