"""Which paths a workspace holds, which a pattern means, and which lead out: names only, no git."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from loopwright.workspace.errors import WorkspacePathError

#: A path in bytes: below PATH_MAX (4096), so that there is room for the folder it is put in.
MAX_PATH_BYTES = 2048

#: Folders in folders; a file descriptor is held for each while a tree is read.
MAX_DEPTH = 100

#: Symbolic links in one look-up, after which Linux itself gives up.
MAX_LINKS = 40

_ANY_DEPTH = re.compile("")
_NEVER = re.compile(r"(?!)")


def check_path(path: str) -> str:
    """The path itself when a workspace may hold it; raises WorkspacePathError."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise WorkspacePathError(
            f"path {path!r} is not allowed; it must be relative, without '.', '..' or NUL"
        )
    if any(is_git_name(part) for part in parts):
        raise WorkspacePathError(
            f"path {path!r} belongs to a git repository inside of the workspace; "
            "remove that repository's .git, its files can stay"
        )
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise WorkspacePathError(f"path {path!r} is not UTF-8; rename it") from None
    if size > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        raise WorkspacePathError(
            f"path {path[:80]!r}… has {size} bytes and {len(parts)} levels; "
            f"at most {MAX_PATH_BYTES} and {MAX_DEPTH} are kept"
        )
    return path


def is_git_name(name: str) -> bool:
    """Whether git on some file system would take this name for a repository's own."""
    return name.lower() in (".git", "git~1")


def contained(root: Path, relative: str) -> Path:
    """Where `relative` is below `root`; raises WorkspacePathError when it leads out of it.

    Refused are absolute paths, `..`, NUL, and links on the way or at the end that lead outside.
    What is true now need not be true later: nothing else may be changing the tree meanwhile.
    """
    parts = relative.split("/")
    if not relative or relative.startswith("/") or "\0" in relative or ".." in parts:
        raise WorkspacePathError(
            f"path {relative!r} is not allowed; it must be relative and without '..'"
        )
    path = root / relative
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise WorkspacePathError(f"path {relative!r} cannot be followed: {error}") from error
    if not inside:
        raise WorkspacePathError(f"path {relative!r} leads out of the workspace by a link")
    return path


def leads_outside(link: str, links: Mapping[str, str]) -> bool:
    """Whether following `link` leaves the tree whose symbolic links are `links` (path: target).

    Links are followed as the kernel does, since `..` after a link is not what it looks like.
    """
    here = link.split("/")[:-1]
    ahead = _backwards(links[link])
    if links[link].startswith("/"):
        return True
    followed = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        target = links.get("/".join([*here, part]))
        if target is None:
            here.append(part)
            continue
        followed += 1
        if target.startswith("/"):
            return True
        if followed > MAX_LINKS:
            return False
        ahead.extend(_backwards(target))
    return False


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a file's path is meant by patterns with the rules of .gitignore.

    The last pattern that fits decides, `!` takes back, and below a folder that is meant everything
    is. Unlike git's, `?` and `[…]` stand for a character, not for a byte.
    """
    parts = path.split("/")
    rules = [rule for pattern in patterns if (rule := _rule(pattern)) is not None]
    return any(
        _last_word(parts[:depth], depth < len(parts), rules) for depth in range(1, len(parts) + 1)
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    negated: bool
    folders_only: bool
    segments: tuple[re.Pattern[str], ...]


def _last_word(parts: list[str], is_folder: bool, rules: list[_Rule]) -> bool:
    for rule in reversed(rules):
        if (is_folder or not rule.folders_only) and _fits(parts, rule.segments):
            return not rule.negated
    return False


def _fits(parts: list[str], segments: tuple[re.Pattern[str], ...]) -> bool:
    """Segment by segment, keeping every place in `parts` where the pattern so far may end."""
    ends = {0}
    for index, segment in enumerate(segments):
        if segment is _ANY_DEPTH:
            least = 1 if index == len(segments) - 1 else 0
            ends = set(range(min(ends) + least, len(parts) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(parts) and segment.match(parts[end])}
        if not ends:
            return False
    return len(parts) in ends


@lru_cache(maxsize=1024)
def _rule(pattern: str) -> _Rule | None:
    """A line of .gitignore; None for an empty line or a comment."""
    text = _without_trailing_spaces(pattern)
    if text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    if not text:
        return None
    if "/" not in text:
        return _Rule(negated, folders_only, (_ANY_DEPTH, _segment(text)))
    segments = text.removeprefix("/").split("/")
    compiled = tuple(_ANY_DEPTH if part == "**" else _segment(part) for part in segments)
    return _Rule(negated, folders_only, compiled)


def _without_trailing_spaces(text: str) -> str:
    bare = text.rstrip(" ")
    escapes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if escapes % 2 and bare != text else bare


def _segment(glob: str) -> re.Pattern[str]:
    """A glob without slashes as a regular expression that takes linear time for each star.

    What follows a star is matched where it first fits and never tried again (an atomic group):
    otherwise a few stars and a long name would take years.
    """
    chunks = [""]
    try:
        for token in _tokens(glob):
            if token == "*":  # noqa: S105 - a token of a pattern
                chunks.append("")
            else:
                chunks[-1] += token
    except ValueError:
        return _NEVER
    first, *rest = chunks
    if not rest:
        return re.compile(rf"(?s:{first})\Z")
    middle = "".join(f"(?>.*?{chunk})" for chunk in rest[:-1])
    return re.compile(rf"(?s:{first}{middle}.*{rest[-1]})\Z")


def _tokens(glob: str) -> Iterator[str]:
    """Regular expressions for one character each, and `*`; raises ValueError if malformed."""
    at = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "[":
            end, charset = _charset(glob, at)
            at = end
            yield charset
        elif char == "\\":
            if at == len(glob):
                raise ValueError("nothing follows the backslash")
            yield re.escape(glob[at])
            at += 1
        elif char == "?":
            yield "."
        else:
            yield char if char == "*" else re.escape(char)


def _charset(glob: str, at: int) -> tuple[int, str]:
    """The end of the bracket that opened before `at`, and its regular expression."""
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    start = at
    ranges: list[str] = []
    while glob[at : at + 1] != "]" or at == start:
        at, low = _member(glob, at)
        high = low
        if glob[at : at + 1] == "-" and glob[at + 1 : at + 2] not in ("", "]"):
            at, high = _member(glob, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return at + 1, "." if negated else "(?!)"
    return at + 1, f"[{'^' if negated else ''}{''.join(ranges)}]"


def _member(glob: str, at: int) -> tuple[int, str]:
    at += glob[at : at + 1] == "\\"
    if at >= len(glob):
        raise ValueError("the bracket is not closed")
    return at + 1, glob[at]


def _backwards(target: str) -> list[str]:
    return [part for part in reversed(target.split("/")) if part not in ("", ".")]
