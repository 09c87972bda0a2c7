"""Folders of the command: whose they are, how much they hold, and their removal.

What is in them was made by untrusted code, so nothing here follows a link, recurses, or opens
anything but a folder; depth and names may be chosen to do harm.
"""

# ruff: noqa: PTH106, PTH116
from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing is slow to load
    from collections.abc import Iterator

#: Folders deeper than this are left alone: one descriptor is held open for each level.
MAX_DEPTH = 200
#: What an entry is taken to cost beside its blocks, in bytes, so that empty files add up too.
ENTRY_BYTES = 512

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def entries(root: str) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below `root`: descriptor of its folder, its name, its status."""
    opened: list[int] = [os.open(root, _FOLDER)]
    scans = [os.scandir(opened[0])]
    try:
        while scans:
            entry = next(scans[-1], None)
            if entry is None:
                scans.pop().close()
                os.close(opened.pop())
                continue
            folder = opened[-1]
            try:
                status = entry.stat(follow_symlinks=False)
                yield folder, entry.name, status
                if stat.S_ISDIR(status.st_mode) and len(opened) < MAX_DEPTH:
                    opened.append(os.open(entry.name, _FOLDER, dir_fd=folder))
                    scans.append(os.scandir(opened[-1]))
            except OSError:  # it went away, or is not ours to open
                if len(opened) > len(scans):
                    os.close(opened.pop())
    finally:
        for scan in scans:
            scan.close()
        for descriptor in opened:
            os.close(descriptor)


def size_of(status: os.stat_result) -> int:
    """What an entry takes on the disk, in bytes; holes of sparse files count nothing."""
    return status.st_blocks * 512 + ENTRY_BYTES


def lend(root: str, uid: int) -> int:
    """Make `uid` the owner of a tree; the tree's size.

    A file with other hard links stays as it is: it may also be a file outside, such as one in a
    package cache, and would become writable through this name.
    """
    total = 0
    os.chown(root, uid, uid, follow_symlinks=False)
    for folder, name, status in entries(root):
        total += size_of(status)
        if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode):
            os.chown(name, uid, uid, dir_fd=folder, follow_symlinks=False)
    return total


def take_back(root: str, lent_to: int | None) -> int:
    """Make this process's user the owner again of all that `lent_to` owns; the tree's size.

    No file keeps a set-user-id bit that untrusted code gave it: it would now be the service's.
    """
    total = 0
    me, group = os.geteuid(), os.getegid()
    for folder, name, status in entries(root):
        total += size_of(status)
        if lent_to is not None and status.st_uid == lent_to:
            os.chown(name, me, group, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            os.chmod(name, stat.S_IMODE(status.st_mode) & 0o777, dir_fd=folder)
    if lent_to is not None:
        os.chown(root, me, group, follow_symlinks=False)
    return total


def device_of(root: str) -> int:
    """The disk that a folder is on."""
    return os.stat(root, follow_symlinks=False).st_dev


class Gauge:
    """The size of some trees, measured a little at a time so that the supervisor stays awake."""

    def __init__(self, roots: list[str], size_bytes: int) -> None:
        self._roots = roots
        self._walk = self._sizes()
        self._sum = 0
        self.size_bytes = size_bytes
        """Of the last complete round."""

    def advance(self, budget_s: float) -> None:
        """Go on measuring for so long, or to the end of the round."""
        until = time.monotonic() + budget_s
        for size in self._walk:
            self._sum += size
            if time.monotonic() > until:
                return
        self.size_bytes, self._sum = self._sum, 0
        self._walk = self._sizes()

    def _sizes(self) -> Iterator[int]:
        for root in self._roots:
            for _, _, status in entries(root):
                yield size_of(status)


def remove(root: str) -> None:
    """Delete a tree of any depth.

    Folders are moved to the top before they are emptied, so that no path gets long.
    """
    top = os.open(root, _FOLDER)
    try:
        while folders := _unlink_files(top):
            for name in folders:
                _hoist(top, name)
    finally:
        os.close(top)
    os.rmdir(root)


def _unlink_files(folder: int) -> list[str]:
    """Delete all but folders; the names of the folders."""
    folders = []
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _hoist(top: int, name: str) -> None:
    """Empty one folder: its files go, its folders move to the top under names none can guess."""
    os.chmod(name, 0o700, dir_fd=top)
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for child in _unlink_files(folder):
            os.chmod(child, 0o700, dir_fd=folder)  # to be moved, its ".." must be written
            os.rename(child, os.urandom(8).hex(), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
