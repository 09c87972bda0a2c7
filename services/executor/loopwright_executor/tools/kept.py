"""Whether a workspace holds a secret: what is committed is stored and shown to models."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Shorter values are no secrets but words, as for logs.
MIN_SECRET_CHARS = 6


def kept_secret(tree: Path, secrets: Mapping[str, str]) -> tuple[str, str] | None:
    """The first path that holds one of the secrets (name: value) and that one's name.

    Looked at are contents, names and targets of links, as they are: what was encoded or cut is not
    found.
    """
    wanted = {name: value.encode() for name, value in secrets.items() if _long_enough(value)}
    if not wanted:
        return None
    for path in _files(tree):
        shown = os.fsencode(path.relative_to(tree))
        link = os.fsencode(path.readlink()) if path.is_symlink() else b""
        for name, value in wanted.items():
            if value in shown or value in link or (not link and _holds(path, value)):
                return shown.decode(errors="replace").replace(value.decode(), "…"), name
    return None


def _long_enough(value: str) -> bool:
    return len(value) >= MIN_SECRET_CHARS


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(tree):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (Path(folder, name) for name in [*names, *links])


def _holds(path: Path, value: bytes) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size < len(value):
        return False
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as content:
            return content.find(value) >= 0
    finally:
        os.close(file)
