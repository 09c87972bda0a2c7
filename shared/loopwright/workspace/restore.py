"""Putting paths of a tree back as a revision has them: what differs, and how it is mended.

The tree may hold anything: a protected file may have become a folder, its parent a link to
elsewhere. Every step goes through descriptors of real folders, never through a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loopwright.workspace.paths import matches
from loopwright.workspace.repository import Entry, blob_id
from loopwright.workspace.trees import Found, Item, descended, discard, opened, put, walk

_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, slots=True)
class Differences:
    """Where a tree is not as the revision has it."""

    added: tuple[str, ...]
    """Paths that match the patterns and that the revision does not have."""
    wanted: tuple[Entry, ...]
    """Entries of the revision that are changed or gone."""

    @property
    def paths(self) -> list[str]:
        """All of them in order."""
        return sorted({*self.added, *(entry.path for entry in self.wanted)})


def differences(tree: Path, wanted: Mapping[str, Entry], patterns: Sequence[str]) -> Differences:
    """Compare the tree with the wanted entries, which are all that match in the revision."""
    same, added = set(), []
    with opened(tree) as top:
        for found in walk(top):
            entry = wanted.get(found.path)
            if entry is not None:
                if _is(found, entry):
                    same.add(entry.path)
            elif not found.is_folder and matches(found.path, patterns):
                added.append(found.path)
    return Differences(tuple(added), tuple(e for p, e in wanted.items() if p not in same))


def mend(tree: Path, added: Iterable[str], items: Iterable[Item]) -> None:
    """Remove the added paths and write the items."""
    with opened(tree) as top:
        for path in added:
            _remove(top, path.split("/"))
        for item in items:
            put(top, item)


def _is(found: Found, entry: Entry) -> bool:
    return (
        found.mode == entry.mode
        and found.status.st_size == entry.bytes
        and not found.status.st_mode & _SPECIAL_BITS
        and blob_id(found.read(entry.bytes + 1)) == entry.blob
    )


def _remove(top: int, parts: list[str]) -> None:
    """Remove a path and the folders that it leaves empty."""
    with suppress(OSError), descended(top, parts[:-1]) as folder:
        discard(folder, parts[-1])
    for depth in range(len(parts) - 1, 0, -1):
        with suppress(OSError), descended(top, parts[: depth - 1]) as folder:
            os.rmdir(parts[depth - 1], dir_fd=folder)
