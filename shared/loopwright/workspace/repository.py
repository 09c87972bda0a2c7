"""One loop's revisions in a bare git repository, and the bundles they travel as.

Nothing here follows from what lies in a tree: contents go in by `fast-import` and come out by
`cat-file`, so git sees no ignore file, no attribute and no `.git` of the workspace. Many processes
may use one repository at the same time: objects are added atomically and none is ever taken away.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from loopwright.workspace.errors import GitFailedError, WorkspaceDamagedError, WorkspaceError
from loopwright.workspace.git import Git
from loopwright.workspace.locks import ALONE, held
from loopwright.workspace.paths import check_path
from loopwright.workspace.threads import in_thread
from loopwright.workspace.trees import MODES, Item, Meter, TreeLimits, write_items

AUTHOR = "loopwright <loopwright@localhost>"

#: What git's check of a received pack lets pass: files that mean something to git, not to us.
_LENIENT = ",".join(
    f"gitmodules{what}=ignore"
    for what in ("Blob", "Large", "Name", "Parse", "Path", "Symlink", "Update", "Url")
)
_BUNDLE = "# v2 git bundle"
_REVISION = re.compile(r"\A[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path that a revision changed."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    bytes: int
    """Its size afterwards."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A revision, and what it changed on its parent."""

    revision: str
    """A git commit; equal to `parent` when nothing had changed."""
    parent: str | None
    changed: tuple[PathChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a link of a revision."""

    path: str
    mode: str
    """100644, 100755 or 120000."""
    bytes: int
    blob: str
    """What git calls its content."""


def check_revision(text: str) -> str:
    """The text itself when it is a revision; it stands in paths and arguments."""
    if not _REVISION.match(text):
        raise WorkspaceError(f"{text!r} is no revision; one has 40 hexadecimal digits")
    return text


def blob_id(data: bytes) -> str:
    """What git calls a content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Repository:
    """A bare repository. Revisions are marked as held once they are whole and published."""

    def __init__(self, git_dir: Path, git: Git, limits: TreeLimits) -> None:
        self._dir = git_dir
        self._git = git
        self._limits = limits

    async def make(self) -> None:
        """Make the repository unless it is there."""
        if not self._dir.exists():
            try:
                await self._git.init(self._dir)
            except OSError:
                if not self._dir.exists():  # else somebody else was first
                    raise

    def holds(self, revision: str) -> bool:
        """Whether the revision and all before it are here."""
        try:
            return self._ref(revision).read_text() == f"{revision}\n"
        except FileNotFoundError:
            return False

    def hold(self, revision: str) -> None:
        """Mark a revision as held, with a reference that git understands too."""
        fresh = self._dir / f"ref-{secrets.token_hex(8)}"
        fresh.write_text(f"{revision}\n")
        self._ref(revision).parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(self._ref(revision))

    async def entries(self, revision: str) -> dict[str, Entry]:
        """The files and links of a revision by path, in the order of the paths."""
        raw = await self._git.run(
            self._dir, "ls-tree", "-r", "-z", "-l", "--full-tree", "--end-of-options", revision
        )
        lines = raw.decode("utf-8", "surrogateescape").split("\0")[:-1]
        return {entry.path: entry for entry in sorted(map(_entry, lines), key=lambda e: e.path)}

    async def tree(self, revision: str) -> str:
        """What git calls the revision's whole content."""
        wanted = f"{revision}^{{tree}}"
        raw = await self._git.run(self._dir, "rev-parse", "--verify", "--end-of-options", wanted)
        return raw.decode().strip()

    async def descends(self, revision: str, base: str) -> bool:
        """Whether `base` is the revision or before it."""
        asked = ("rev-list", "--count", base, f"^{revision}", "--")
        return (await self._git.run(self._dir, *asked)).strip() == b"0"

    async def commit(
        self, items: Iterator[Item], *, parent: str | None, message: str, at: datetime
    ) -> Snapshot:
        """A commit of the whole tree; the same arguments give the same revision everywhere."""
        before = await self.entries(parent) if parent else {}
        with tempfile.TemporaryFile(dir=self._dir) as stream:
            changes = await in_thread(_write_blobs, stream, items, before)
            if parent and not changes:
                return Snapshot(parent, parent)
            # Fast-import cannot do without a reference; a name used twice could still be locked
            # by a process that was killed.
            ref = f"refs/imports/{secrets.token_hex(8)}"
            stream.write(_commit_command(ref, parent, message, at, changes))
            stream.seek(0)
            out = await self._import(stream)
        (self._dir / ref).unlink()
        changed = tuple(sorted((c.change for c in changes), key=lambda change: change.path))
        return Snapshot(check_revision(out.decode().strip()), parent, changed)

    async def _import(self, stream: IO[bytes]) -> bytes:
        """Run fast-import, one at a time: two with the same content would meet in one file."""
        async with held(self._dir / "import.lock", ALONE):
            for left in (self._dir / "objects" / "pack").glob("*.keep"):
                left.unlink()  # by a crash, and the same import would stumble over it
            return await self._git.run(
                self._dir, "fast-import", "--quiet", "--done", "--date-format=raw",
                stdin=stream,
            )  # fmt: skip

    async def write(self, entries: Iterable[Entry], to: Path) -> None:
        """Write entries of a revision into an empty folder."""
        async with self.contents(entries) as items:
            await in_thread(write_items, to, items)

    @asynccontextmanager
    async def contents(self, entries: Iterable[Entry]) -> AsyncIterator[Iterator[Item]]:
        """The entries with their contents, in no particular order."""
        by_blob: dict[str, list[Entry]] = {}
        for entry in entries:
            by_blob.setdefault(entry.blob, []).append(entry)
        asked = "".join(f"{blob}\n" for blob in by_blob).encode()
        with tempfile.TemporaryFile(dir=self._dir) as file:
            await self._git.run(
                self._dir, "cat-file", "--batch", "--buffer", stdin=asked, stdout=file
            )
            file.seek(0)
            yield _items(file, by_blob)

    async def patch(self, before: str, after: str, *options: str) -> bytes:
        """What changed, as git writes it."""
        return await self._git.run(
            self._dir, "diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv",
            *options, "--end-of-options", before, after, "--",
        )  # fmt: skip

    async def bundle(self, revision: str, since: str | None) -> bytes:
        """A revision with everything before it, or with what came after `since`."""
        asked = f"{revision}\n" + (f"^{since}\n" if since else "")
        pack = await self._git.run(
            self._dir, "pack-objects", "--quiet", "--stdout", "--revs", "--thin",
            "--delta-base-offset", stdin=asked.encode(),
        )  # fmt: skip
        needs = f"-{since} what it builds on\n" if since else ""
        return f"{_BUNDLE}\n{needs}{revision} refs/heads/loop\n\n".encode() + pack

    async def receive(self, bundle: bytes, revision: str) -> None:
        """Take a bundle in, checked object by object, and hold its revision."""
        head, _, pack = bundle.partition(b"\n\n")
        lines = head.decode(errors="replace").splitlines()
        tips = [line.split(" ")[0] for line in lines[1:] if not line.startswith("-")]
        if lines[:1] != [_BUNDLE] or tips != [revision]:
            raise WorkspaceDamagedError(
                f"the bundle of revision {revision} is none, or of another: {lines[:3]}"
            )
        try:
            await self._git.run(
                self._dir, "index-pack", "--stdin", "--fix-thin", f"--strict={_LENIENT}",
                stdin=pack,
            )  # fmt: skip
            entries = await self.entries(revision)
        except GitFailedError as error:
            raise WorkspaceDamagedError(
                f"the bundle of revision {revision} is damaged: {error}"
            ) from error
        meter = Meter(self._limits)
        for entry in entries.values():
            meter.add(entry.path, entry.bytes)
        self.hold(revision)

    def _ref(self, revision: str) -> Path:
        return self._dir / "refs" / "loopwright" / check_revision(revision)


@dataclass(frozen=True, slots=True)
class _Edit:
    """A change, with its line in the stream to git."""

    change: PathChange
    line: bytes


def _entry(line: str) -> Entry:
    fields, path = line.split("\t", 1)
    mode, _, blob, size = fields.split()
    if mode not in MODES:
        raise WorkspaceDamagedError(f"the revision holds {path!r} of mode {mode}, never a file")
    if not size.isdigit():
        raise WorkspaceDamagedError(
            f"the content {blob} of {path} is lost from the cache; delete the cache, it is only one"
        )
    return Entry(check_path(path), mode, int(size), blob)


def _items(file: IO[bytes], by_blob: Mapping[str, list[Entry]]) -> Iterator[Item]:
    while head := file.readline():
        blob, _, size = head.decode().split()
        data = file.read(int(size))
        file.read(1)
        for entry in by_blob[blob]:
            yield Item(entry.path, entry.mode, data)


def _write_blobs(
    stream: IO[bytes], items: Iterable[Item], before: Mapping[str, Entry]
) -> list[_Edit]:
    """Write the contents that are new; return what to delete and then what to set."""
    gone = dict(before)
    edits: list[_Edit] = []
    for item in items:
        old = gone.pop(item.path, None)
        if old and (old.mode, old.blob) == (item.mode, blob_id(item.data)):
            continue
        mark = len(edits) + 2
        stream.write(b"blob\nmark :%d\ndata %d\n" % (mark, len(item.data)) + item.data + b"\n")
        change = PathChange(item.path, "modified" if old else "added", len(item.data))
        edits.append(_Edit(change, f"M {item.mode} :{mark} ".encode() + _quoted(item.path)))
    return [
        *(_Edit(PathChange(path, "deleted", 0), b"D " + _quoted(path)) for path in gone),
        *edits,
    ]


def _commit_command(
    ref: str, parent: str | None, message: str, at: datetime, edits: Iterable[_Edit]
) -> bytes:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    text = message.replace("\0", "").encode(errors="replace") + b"\n"
    lines = [
        f"commit {ref}".encode(),
        b"mark :1",
        f"committer {AUTHOR} {int(at.astimezone(UTC).timestamp())} +0000".encode(),
        b"data %d" % len(text),
        text + (f"from {parent}".encode() if parent else b""),
        *(edit.line for edit in edits),
        b"",
        b"get-mark :1",
        b"done",
        b"",
    ]
    return b"\n".join(lines)


def _quoted(path: str) -> bytes:
    """A path in the stream, in double quotes as in C."""
    escaped = os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + escaped.replace(b"\n", b"\\n") + b'"'
