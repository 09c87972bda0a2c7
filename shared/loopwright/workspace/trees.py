"""A tree of files on disk: read it without following a link, write it without leaving it.

Folders are opened by their parent's descriptor and never through a link, so a process that is
still changing the tree can spoil what is read but not lead the reader elsewhere.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from loopwright.workspace.errors import WorkspacePathError, WorkspaceTooLargeError
from loopwright.workspace.paths import check_path, leads_outside

FILE, EXECUTABLE, LINK = "100644", "100755", "120000"
MODES = frozenset((FILE, EXECUTABLE, LINK))

#: Seconds that the removal of a tree may take that Python cannot remove.
_REMOVAL_S = 60.0

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """What a workspace may hold."""

    files: int = 20_000
    """Files, links and folders together."""
    file_bytes: int = 64 * 1024 * 1024
    tree_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """A file, or a symbolic link with its target as data."""

    path: str
    mode: str
    """As git says it: 100644, 100755 or 120000."""
    data: bytes


@dataclass(slots=True)
class Meter:
    """Counts a tree against its limits."""

    limits: TreeLimits
    _entries: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, path: str, size: int) -> None:
        """Count an entry; raises WorkspaceTooLargeError."""
        self._entries += 1
        self._bytes += size
        limits = self.limits
        if size > limits.file_bytes:
            raise WorkspaceTooLargeError(
                f"{path} has {size} bytes; a workspace keeps files of at most {limits.file_bytes}"
            )
        if self._entries > limits.files:
            raise WorkspaceTooLargeError(
                f"the workspace has more than {limits.files} files and folders; "
                "remove what the work does not need"
            )
        if self._bytes > limits.tree_bytes:
            raise WorkspaceTooLargeError(
                f"the workspace has more than {limits.tree_bytes} bytes, {path} is the file "
                "that is too much; remove what the work does not need"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of a folder on disk, the folder being open."""

    path: str
    name: str
    folder: int
    """The open folder's descriptor."""
    status: os.stat_result

    @property
    def mode(self) -> str | None:
        """The mode git would give it; None for what git does not keep."""
        if stat.S_ISLNK(self.status.st_mode):
            return LINK
        if stat.S_ISREG(self.status.st_mode):
            return EXECUTABLE if self.status.st_mode & stat.S_IXUSR else FILE
        return None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, not a link to one."""
        return stat.S_ISDIR(self.status.st_mode)

    def read(self, most: int = -1) -> bytes:
        """A file's bytes, the first `most` of them, or a link's target."""
        if self.mode == LINK:
            return os.fsencode(os.readlink(self.name, dir_fd=self.folder))
        with os.fdopen(os.open(self.name, _READ, dir_fd=self.folder), "rb") as file:
            return file.read(most)


def read_folder(root: Path, limits: TreeLimits, *, without: Collection[str] = ()) -> Iterator[Item]:
    """Every file and link below `root` but the paths `without`; folders themselves are not kept.

    Raises WorkspacePathError for what a workspace does not keep (a `.git`, a socket, a link that
    leads out) and WorkspaceTooLargeError beyond the limits; the links are judged at the end.
    """
    meter, links, path = Meter(limits), dict[str, str](), "."
    try:
        with opened(root) as folder:
            for found in walk(folder, without=without):
                path = check_path(found.path)
                meter.add(path, 0 if found.is_folder else found.status.st_size)
                if found.is_folder:
                    continue
                item = _item(found, limits)
                if item.mode == LINK:
                    links[path] = os.fsdecode(item.data)
                yield item
    except OSError as error:
        raise WorkspacePathError(f"{root / path} cannot be read: {error.strerror}") from error
    check_links(links)


def read_files(files: Mapping[str, str | bytes], limits: TreeLimits) -> Iterator[Item]:
    """Files given by path; raises what `read_folder` raises."""
    meter = Meter(limits)
    for path, content in sorted(files.items()):
        data = content if isinstance(content, bytes) else content.encode()
        meter.add(check_path(path), len(data))
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            if (parent := "/".join(above[:depth])) in files:
                raise WorkspacePathError(f"{parent} is a file and, for {path}, a folder at once")
        yield Item(path, FILE, data)


def checked(items: Iterable[Item], limits: TreeLimits) -> Iterator[Item]:
    """The items of somewhere else, held to what a workspace keeps; raises what `read_folder` does.

    Each file must have a name of its own, and no file may be a folder as well.
    """
    meter, links, files, folders = Meter(limits), dict[str, str](), set[str](), set[str]()
    for item in items:
        path = check_path(item.path)
        meter.add(path, len(item.data))
        parts = path.split("/")
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if path in files:
            raise WorkspacePathError(f"{path} is there twice; give each file a name of its own")
        files.add(path)
        if item.mode == LINK:
            links[path] = os.fsdecode(item.data)
        yield item
    for path in sorted(files & folders):
        raise WorkspacePathError(f"{path} is a file and a folder at once")
    check_links(links)


def walk(folder: int, prefix: str = "", *, without: Collection[str] = ()) -> Iterator[Found]:
    """Everything below an open folder, each folder before what is in it; links are not followed."""
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        if path in without:
            continue
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        found = Found(path, name, folder, status)
        yield found
        if found.is_folder:
            with opened(name, folder) as inner:
                yield from walk(inner, f"{path}/", without=without)


@contextmanager
def opened(folder: Path | str, parent: int | None = None) -> Iterator[int]:
    """A folder's descriptor; a link in its place raises OSError."""
    descriptor = os.open(folder, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def check_links(links: Mapping[str, str]) -> None:
    """Raise WorkspacePathError for the first link that leads out of the tree."""
    for path, target in links.items():
        if leads_outside(path, links):
            raise WorkspacePathError(
                f"{path} is a link to {target!r}, which leads out of the workspace; remove it"
            )


def write_items(root: Path, items: Iterable[Item]) -> None:
    """Write a tree into an empty folder; the links last, so that nothing is written through one."""
    links = []
    with opened(root) as top:
        for item in items:
            if item.mode == LINK:
                links.append(item)
            else:
                put(top, item)
        check_links({link.path: os.fsdecode(link.data) for link in links})
        for link in links:
            put(top, link)


def put(top: int, item: Item) -> None:
    """Write one item below an open folder; what stands in its way, among its parents too, goes."""
    *parents, name = item.path.split("/")
    with descended(top, parents, make=True) as folder:
        try:
            _write(folder, name, item)
        except FileExistsError:
            discard(folder, name)
            _write(folder, name, item)


@contextmanager
def descended(top: int, parents: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """The folder at the end of `parents`, reached without links.

    A link or a file on the way raises OSError or, with `make`, is replaced by a folder.
    """
    if not parents:
        yield top
        return
    name, *rest = parents
    try:
        inner = os.open(name, _FOLDER, dir_fd=top)
    except OSError as error:
        if not make or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        discard(top, name)
        os.mkdir(name, 0o755, dir_fd=top)
        inner = os.open(name, _FOLDER, dir_fd=top)
        os.fchmod(inner, 0o755)
    try:
        with descended(inner, rest, make=make) as folder:
            yield folder
    finally:
        os.close(inner)


def discard(folder: int, name: str) -> None:
    """Remove what has this name in an open folder, if anything; links are not followed."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=folder)


def remove_tree(path: Path) -> None:
    """Remove a folder that anybody may have filled, however deep; what resists is left."""
    with suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run(
                [*command, "--", str(path)], check=False, capture_output=True, timeout=_REMOVAL_S
            )


def _item(found: Found, limits: TreeLimits) -> Item:
    mode = found.mode
    if mode is None:
        raise WorkspacePathError(
            f"{found.path} is neither a file nor a link; a workspace cannot keep it, remove it"
        )
    data = found.read(limits.file_bytes + 1)
    if len(data) > limits.file_bytes:  # it has grown since it was found
        raise WorkspaceTooLargeError(
            f"{found.path} has more than {limits.file_bytes} bytes, the most that is kept"
        )
    return Item(found.path, mode, data)


def _write(folder: int, name: str, item: Item) -> None:
    if item.mode == LINK:
        os.symlink(item.data, os.fsencode(name), dir_fd=folder)
        return
    permissions = 0o755 if item.mode == EXECUTABLE else 0o644
    with os.fdopen(os.open(name, _WRITE, permissions, dir_fd=folder), "wb") as file:
        file.write(item.data)
        os.fchmod(file.fileno(), permissions)
