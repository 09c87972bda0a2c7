"""A tree of files on disk: read it without following a link, write it without leaving it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopwright.workspace.errors import WorkspacePathError, WorkspaceTooLargeError
from loopwright.workspace.paths import check_path, leads_outside

FILE, EXECUTABLE, LINK = "100644", "100755", "120000"


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """What a workspace may hold."""

    files: int = 20_000
    file_bytes: int = 64 * 1024 * 1024
    tree_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """A file or a symbolic link on disk."""

    path: str
    mode: str
    """As git says it: 100644, 100755 or 120000."""
    bytes: int


def scan(root: Path, limits: TreeLimits | None = None) -> list[Item]:
    """Every file and link below `root` in the order of their paths; folders are not kept.

    Raises WorkspacePathError for what a workspace does not keep (a `.git`, a socket, a link that
    leads out) and WorkspaceTooLargeError beyond the limits.
    """
    limits = limits or TreeLimits()
    items, total = [], 0
    for path, entry in _walk(root, ""):
        items.append(_item(path, entry))
        total += items[-1].bytes
        if items[-1].bytes > limits.file_bytes:
            raise WorkspaceTooLargeError(
                f"{path} has {items[-1].bytes} bytes; a workspace keeps files of at most "
                f"{limits.file_bytes}"
            )
        if len(items) > limits.files or total > limits.tree_bytes:
            raise WorkspaceTooLargeError(
                f"the workspace has more than {limits.files} files or {limits.tree_bytes} bytes; "
                "remove what the work does not need"
            )
    _check_links(root, items)
    return sorted(items, key=lambda item: item.path)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise WorkspacePathError(
            f"folder {prefix or '.'} cannot be read: {error.strerror}"
        ) from error
    for name in names:
        path = check_path(f"{prefix}{name}")
        entry = (folder / name).lstat()
        if stat.S_ISDIR(entry.st_mode):
            yield from _walk(folder / name, f"{path}/")
        else:
            yield path, entry


def _item(path: str, entry: os.stat_result) -> Item:
    if stat.S_ISLNK(entry.st_mode):
        return Item(path, LINK, entry.st_size)
    if not stat.S_ISREG(entry.st_mode):
        raise WorkspacePathError(f"{path} is neither file nor link; a workspace cannot keep it")
    return Item(path, EXECUTABLE if entry.st_mode & 0o100 else FILE, entry.st_size)


def _check_links(root: Path, items: list[Item]) -> None:
    links = {item.path: os.readlink(root / item.path) for item in items if item.mode == LINK}
    for path in links:
        if leads_outside(path, links):
            raise WorkspacePathError(
                f"{path} is a link to {links[path]!r}, which leads out of the workspace; remove it"
            )


def content(root: Path, item: Item) -> bytes:
    """What git keeps of an item: a file's bytes, a link's target."""
    path = root / item.path
    if item.mode == LINK:
        return os.fsencode(os.readlink(path))
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def place(root: Path, path: str, mode: str, data: bytes) -> None:
    """Write one item; whatever stands in its way, a link among the parents too, is removed."""
    target = _clear_way(root, path)
    if mode == LINK:
        os.symlink(os.fsdecode(data), target)
        return
    permissions = 0o755 if mode == EXECUTABLE else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, permissions), "wb") as file:
        file.write(data)
    target.chmod(permissions)


def _clear_way(root: Path, path: str) -> Path:
    here = root
    *parents, name = path.split("/")
    for part in parents:
        here /= part
        if here.is_symlink() or (here.exists() and not here.is_dir()):
            here.unlink()
        here.mkdir(exist_ok=True)
    remove(here / name)
    return here / name


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, without following a link."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def place_all(root: Path, items: Mapping[str, tuple[str, bytes]]) -> None:
    """Write many items, the links last, so that nothing is written through one."""
    for path, (mode, data) in sorted(items.items(), key=lambda pair: pair[1][0] == LINK):
        place(root, path, mode, data)
