"""Archives as trees: each member is read as data; nothing is unpacked onto a disk.

So no name can lead a writer anywhere. What a workspace does not keep is refused by its name, and
no more is read of a member than the limits allow, whatever the archive says of its size.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from loopwright.workspace.errors import WorkspaceError, WorkspacePathError
from loopwright.workspace.trees import EXECUTABLE, FILE, LINK, Item, TreeLimits

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
#: Folders and files together; an archive of nothing but folders is none.
_MEMBERS = 100_000


def read_archive(path: Path, limits: TreeLimits) -> Iterator[Item]:
    """Every file and link of a zip or tar archive, however that is compressed.

    Raises WorkspacePathError for a member that is neither a file, a link nor a folder, and
    WorkspaceError for what is no archive. Names, links and sizes are the caller's to check.
    """
    if not path.exists():
        raise WorkspacePathError(f"{path} cannot be read: No such file or folder")
    try:
        if zipfile.is_zipfile(path):
            yield from _zip(path, limits)
        elif tarfile.is_tarfile(path):
            yield from _tar(path, limits)
        else:
            raise WorkspaceError(f"{path} is neither a zip nor a tar archive")
    except NotImplementedError as error:
        raise WorkspaceError(f"{path}: {error}; pack it again as .tar.gz") from error
    except _BROKEN as error:
        raise WorkspaceError(f"{path} cannot be read as an archive: {error}") from error


def _zip(path: Path, limits: TreeLimits) -> Iterator[Item]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _count(path, len(members))
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                continue
            if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise _odd(member.filename)
            with archive.open(member) as file:
                data = file.read(limits.file_bytes + 1)
            runs = member.external_attr >> 16 & stat.S_IXUSR
            mode = LINK if kind == stat.S_IFLNK else EXECUTABLE if runs else FILE
            yield Item(_name(member.filename), mode, data)


def _tar(path: Path, limits: TreeLimits) -> Iterator[Item]:
    with tarfile.open(path) as archive:
        for number, member in enumerate(archive):
            _count(path, number)
            if member.isdir():
                continue
            if member.issym():
                yield Item(_name(member.name), LINK, member.linkname.encode())
                continue
            if not member.isreg():  # a hard link names another member, perhaps one outside
                raise _odd(member.name)
            file: IO[bytes] | None = archive.extractfile(member)
            data = file.read(limits.file_bytes + 1) if file is not None else b""
            mode = EXECUTABLE if member.mode & stat.S_IXUSR else FILE
            yield Item(_name(member.name), mode, data)


def _count(path: Path, members: int) -> None:
    if members > _MEMBERS:
        raise WorkspaceError(f"{path} has more than {_MEMBERS} members")


def _name(name: str) -> str:
    """`./a` is `a`; anything else that is odd stays, to be refused."""
    return name.removeprefix("./")


def _odd(name: str) -> WorkspacePathError:
    return WorkspacePathError(
        f"{name} is neither a file, a symbolic link nor a folder; a workspace cannot keep it"
    )
