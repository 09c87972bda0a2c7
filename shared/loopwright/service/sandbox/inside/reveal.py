"""Paths behind closed doors: what a command was granted though others may not pass its parents.

Landlock takes away and never gives, so root's own Python under /root (mode 0700) is out of reach
for the command's user. Where the mount namespace can be left, an empty folder is put over the
closed one and the granted paths are bound into it, under the names that they have.
"""

# ruff: noqa: PTH103, PTH116, PTH120
from __future__ import annotations

import os
import stat

from . import kernel

_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC = 2, 4, 4096, 16384


def reveal(paths: list[str]) -> None:
    """Make the paths reachable; without the right to mount they stay as they are."""
    hidden: dict[str, list[str]] = {}
    for path in paths:
        door = closed_parent(path)
        if door is not None:
            hidden.setdefault(door, []).append(path)
    if not hidden:
        return
    try:
        kernel.private_mounts()
        for door, behind in hidden.items():
            _open(door, [path for path in behind if not _is_below_any(path, behind)])
    except PermissionError:  # in a container; then the command itself says what it cannot reach
        return


def closed_parent(path: str) -> str | None:
    """The topmost folder on the way to `path` that others may not pass."""
    passed = ""
    for part in path.strip("/").split("/")[:-1]:
        passed += "/" + part
        if not os.stat(passed).st_mode & stat.S_IXOTH:
            return passed
    return None


def _is_below_any(path: str, others: list[str]) -> bool:
    return any(path != other and path.startswith(other + "/") for other in others)


def _open(door: str, paths: list[str]) -> None:
    sources = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in paths]
    kernel.mount("none", door, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=64k")
    for path, source in sources:
        _place(path, is_folder=stat.S_ISDIR(os.fstat(source).st_mode))
        kernel.mount(f"/proc/self/fd/{source}", path, None, _MS_BIND | _MS_REC)
        os.close(source)


def _place(path: str, *, is_folder: bool) -> None:
    """Something to bind on."""
    os.makedirs(path if is_folder else os.path.dirname(path), 0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
