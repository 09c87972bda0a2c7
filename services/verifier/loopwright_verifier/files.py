"""Files of a tree as the inspector may read them: no link is followed, none is too large."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: A file that is read as text or JSON may have at most this many bytes.
MAX_TEXT_BYTES = 64 * 1024 * 1024


class UnreadableFileError(Exception):
    """The file cannot be judged: the check has failed, and the message says why."""


def locate(tree: Path, path: str) -> Path | None:
    """The regular file at a path of the tree; None if there is none. No link is followed."""
    here = tree
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise UnreadableFileError(f"'{path}' is not a path inside of the workspace")
        here /= part
        if here.is_symlink():
            raise UnreadableFileError(f"{path} is or passes a link; a check reads files only")
    return here if here.is_file() else None


def located(tree: Path, path: str) -> Path:
    """The regular file at a path of the tree; UnreadableFileError if there is none."""
    found = locate(tree, path)
    if found is None:
        raise UnreadableFileError(f"there is no file {path}")
    return found


def text_of(tree: Path, path: str) -> str:
    """A file as text; UnreadableFileError where it is none."""
    found = located(tree, path)
    if found.stat().st_size > MAX_TEXT_BYTES:
        raise UnreadableFileError(f"{path} has more than {MAX_TEXT_BYTES} bytes")
    try:
        return found.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path} is no UTF-8 text") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
