"""The file tools: reading and changing files of the workspace, never anything outside of it.

They run in the executor itself, while nothing else runs in the workspace, so a path that is
contained when it is checked still is when it is used.
"""

from __future__ import annotations

import os
from pathlib import Path

from loopwright.errors import StepError
from loopwright.tools.arguments import (
    FileDeleteArgs,
    FileEditArgs,
    FileReadArgs,
    FileWriteArgs,
)
from loopwright.workspace.errors import WorkspacePathError
from loopwright.workspace.paths import check_path, contained
from loopwright_executor.core import excerpt, replaced

#: A file that is read or edited may have at most this many bytes.
MAX_FILE_BYTES = 4 * 1024 * 1024


def read(tree: Path, args: FileReadArgs) -> str:
    """The file's text, head and tail if it is long."""
    return excerpt(_text(target(tree, args.path), args.path))


def write(tree: Path, args: FileWriteArgs) -> str:
    """Write the whole file and say so."""
    store(target(tree, args.path), args.path, args.content)
    return f"wrote {len(args.content.encode())} bytes to {args.path}"


def edit(tree: Path, args: FileEditArgs) -> str:
    """Replace the one occurrence of a text and say so."""
    path = target(tree, args.path)
    store(path, args.path, replaced(_text(path, args.path), args.old, args.new, args.path))
    return f"replaced 1 text in {args.path}"


def delete(tree: Path, args: FileDeleteArgs) -> str:
    """Delete the file and say so."""
    path = target(tree, args.path)
    if not path.is_symlink() and not path.is_file():
        raise StepError("invalid_arguments", f"{args.path}: there is no such file")
    path.unlink()
    return f"deleted {args.path}"


def target(tree: Path, relative: str) -> Path:
    """A path of the workspace; StepError for one that leads out of it."""
    try:
        check_path(relative)
        return contained(tree, relative)
    except WorkspacePathError as error:
        raise StepError("permission_denied", str(error)) from error


def _text(path: Path, name: str) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StepError(
                "invalid_arguments", f"{name} has more than {MAX_FILE_BYTES} bytes; use a command"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StepError("invalid_arguments", f"{name} is no UTF-8 text; use a command") from error
    except OSError as error:
        raise StepError("invalid_arguments", f"{name}: {error.strerror}") from error


def store(path: Path, name: str, content: str | bytes) -> None:
    """Write without following a link at the end, so that no link is written through."""
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            file.write(data)
    except OSError as error:
        raise StepError("invalid_arguments", f"{name}: {error.strerror}") from error
