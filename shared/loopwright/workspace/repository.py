"""A loop's workspace as git revisions: made from files, checked out, compared, sent around.

Each loop has a bare repository below `root`, which is only a cache. A revision is published as a
bundle in the object store before anybody hears of it, so any host can take the next step.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from loopwright.ids import is_loop_id
from loopwright.objects import ObjectMissingError, Objects
from loopwright.workspace.errors import (
    GitFailedError,
    RevisionMissingError,
    WorkspaceDamagedError,
    WorkspaceError,
    WorkspacePathError,
)
from loopwright.workspace.git import Git
from loopwright.workspace.paths import check_path, matches
from loopwright.workspace.trees import (
    FILE,
    LINK,
    Item,
    TreeLimits,
    content,
    place,
    place_all,
    remove,
    scan,
)

#: Every so many revisions the bundle is a whole one, so that a new host needs few of them.
WHOLE_EVERY = 16
#: The first revision's date: the same files give the same revision on every host.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
#: A diff for people is cut here.
DIFF_BYTES = 256 * 1024
_REVISION = re.compile(r"\A[0-9a-f]{40}\Z")
_KINDS: dict[str, Literal["added", "modified", "deleted"]] = {
    "A": "added",
    "D": "deleted",
    "M": "modified",
    "T": "modified",
}


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path that a revision changed."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A revision, and what it changed on its parent."""

    revision: str
    parent: str | None
    changed: tuple[PathChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a revision."""

    path: str
    mode: str
    bytes: int
    blob: str


class Workspaces:
    """The workspaces of many loops on this host."""

    def __init__(
        self,
        root: Path,
        objects: Objects,
        *,
        git: Git | None = None,
        limits: TreeLimits | None = None,
    ) -> None:
        self._root = root
        self._objects = objects
        self._git = git or Git()
        self._limits = limits or TreeLimits()
        self._depths: dict[str, int] = {}

    async def create(self, loop: str, files: Mapping[str, str] | Path | None) -> Snapshot:
        """The first revision: of a folder, of texts by path, or empty. Published."""
        repository = await self._repository(loop)
        if isinstance(files, Path):
            stream = _folder_stream(files, scan(files, self._limits))
        else:
            stream = _texts_stream(files or {})
        revision = await self._import(repository, None, "the goal's workspace", BEGINNING, stream)
        entries = await self._entries(repository, revision)
        await self._publish(repository, loop, revision, None)
        changed = tuple(PathChange(entry.path, "added", entry.bytes) for entry in entries)
        return Snapshot(revision, None, changed)

    async def commit(
        self, loop: str, tree: Path, *, parent: str, message: str, at: datetime
    ) -> Snapshot:
        """Everything in `tree` as a revision on `parent`; the parent itself if nothing changed."""
        repository = await self._holding(loop, parent)
        stream = _folder_stream(tree, scan(tree, self._limits))
        revision = await self._import(repository, parent, message, at, stream)
        changed = await self._changes(repository, parent, revision)
        if not changed:
            return Snapshot(parent, parent)
        await self._publish(repository, loop, revision, parent)
        return Snapshot(revision, parent, changed)

    @asynccontextmanager
    async def checkout(self, loop: str, revision: str) -> AsyncIterator[Path]:
        """A clean tree of the revision in a fresh folder, which goes when the block ends."""
        self._root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="tree-", dir=self._root))
        try:
            temporary.chmod(0o711)  # a sandboxed command, of another user, passes through
            tree = temporary / "work"
            tree.mkdir(mode=0o755)
            place_all(tree, await self._contents(loop, revision))
            yield tree
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    async def export(self, loop: str, revision: str, to: Path) -> None:
        """Write the revision's files to a folder that is new or empty."""
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise WorkspaceError(f"{to} exists and is not empty; name another folder")
        contents = await self._contents(loop, revision)
        to.mkdir(parents=True, exist_ok=True)
        place_all(to, contents)

    async def ls(self, loop: str, revision: str) -> list[Entry]:
        """The revision's files and links, in the order of their paths."""
        return await self._entries(await self._holding(loop, revision), revision)

    async def read(self, loop: str, revision: str, path: str) -> bytes | None:
        """A file's bytes, or None where there is no such file."""
        repository = await self._holding(loop, revision)
        for entry in await self._entries(repository, revision):
            if entry.path == path and entry.mode != LINK:
                return (await self._blobs(repository, [entry]))[path][1]
        return None

    async def diff(self, loop: str, before: str, after: str) -> str:
        """What changed, as text for people, cut at DIFF_BYTES."""
        text = (await self.patch(loop, before, after)).decode(errors="replace")
        return text if len(text) <= DIFF_BYTES else f"{text[:DIFF_BYTES]}\n… the rest is left out\n"

    async def patch(self, loop: str, before: str, after: str) -> bytes:
        """What changed, as a patch that `git apply` takes."""
        repository = await self._holding(loop, after)
        await self._holding(loop, before)
        return await self._git.run(
            repository, "diff-tree", "-p", "--binary", "--full-index", "--no-ext-diff",
            "--no-textconv", "-M", before, after,
        )  # fmt: skip

    async def restore(self, tree: Path, loop: str, base: str, patterns: Sequence[str]) -> list[str]:
        """Make every path in `tree` that matches the patterns as it is in `base`.

        Changed files are put back, deleted ones made again, added ones removed. Returns the paths
        that had differed.
        """
        repository = await self._holding(loop, base)
        entries = [e for e in await self._entries(repository, base) if matches(e.path, patterns)]
        wanted = await self._blobs(repository, entries)
        present = {item.path: item for item in scan(tree, self._limits)}
        differing = [path for path in sorted(present) if path not in wanted]
        differing = [path for path in differing if matches(path, patterns)]
        for path in differing:
            remove(tree / path)
        for path, (mode, data) in sorted(wanted.items()):
            if not _same(tree, present.get(path), mode, data):
                place(tree, path, mode, data)
                differing.append(path)
        return sorted(differing)

    async def changed(
        self, loop: str, base: str, revision: str, patterns: Sequence[str]
    ) -> list[PathChange]:
        """The paths matching the patterns that differ between two revisions."""
        repository = await self._holding(loop, revision)
        await self._holding(loop, base)
        found = await self._changes(repository, base, revision)
        return [change for change in found if matches(change.path, patterns)]

    # Inside the repository

    async def _repository(self, loop: str) -> Path:
        if not is_loop_id(loop):
            raise WorkspaceError(f"'{loop}' is no loop id")
        path = self._root / "repositories" / loop
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                await self._git.init(path)
            except OSError:
                if not path.exists():  # else another process made it in the meantime
                    raise
        return path

    async def _holding(self, loop: str, revision: str) -> Path:
        """The loop's repository, with the revision in it."""
        repository = await self._repository(loop)
        if not _REVISION.match(revision):
            raise WorkspaceError(f"'{revision}' is no revision")
        await self._fetch(repository, loop, revision)
        return repository

    async def _import(
        self, repository: Path, parent: str | None, message: str, at: datetime, stream: bytes
    ) -> str:
        """Make a commit of a whole tree; the same arguments give the same revision."""
        text = message.encode()
        when = f"{int(at.timestamp())} +0000"
        ref = f"refs/imports/{secrets.token_hex(8)}".encode()  # imports may run side by side
        head = [
            b"commit " + ref,
            b"mark :1",
            f"committer loopwright <loopwright@localhost> {when}".encode(),
            f"data {len(text)}".encode(),
            text,
            *([f"from {parent}".encode()] if parent else []),
            b"deleteall",
        ]
        commands = b"\n".join(head) + b"\n" + stream + b"\nget-mark :1\ndone\n"
        out = await self._git.run(
            repository, "fast-import", "--quiet", "--done", "--force", "--cat-blob-fd=1",
            "--date-format=raw", stdin=commands,
        )  # fmt: skip
        return out.decode().split()[0]

    async def _entries(self, repository: Path, revision: str) -> list[Entry]:
        raw = await self._git.run(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", revision)
        entries = []
        for line in raw.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            fields, path = line.split("\t", 1)
            mode, kind, blob, size = fields.split()
            if kind != "blob":
                raise WorkspaceDamagedError(f"revision {revision} holds {path}, which is a {kind}")
            entries.append(Entry(check_path(path), mode, int(size), blob))
        return entries

    async def _contents(self, loop: str, revision: str) -> dict[str, tuple[str, bytes]]:
        repository = await self._holding(loop, revision)
        return await self._blobs(repository, await self._entries(repository, revision))

    async def _blobs(
        self, repository: Path, entries: Iterable[Entry]
    ) -> dict[str, tuple[str, bytes]]:
        """Path → mode and content, in one run of git."""
        wanted = list(entries)
        if not wanted:
            return {}
        asked = "".join(f"{entry.blob}\n" for entry in wanted).encode()
        raw = await self._git.run(repository, "cat-file", "--batch", "--buffer", stdin=asked)
        found, at = {}, 0
        for entry in wanted:
            end = raw.index(b"\n", at)
            size = int(raw[at:end].split()[2])
            found[entry.path] = (entry.mode, raw[end + 1 : end + 1 + size])
            at = end + size + 2
        return found

    async def _changes(self, repository: Path, before: str, after: str) -> tuple[PathChange, ...]:
        raw = await self._git.run(
            repository, "diff-tree", "-r", "-z", "--no-renames", before, after
        )
        parts = raw.decode("utf-8", "surrogateescape").split("\0")[:-1]
        changes = []
        sizes = {e.path: e.bytes for e in await self._entries(repository, after)} if parts else {}
        for fields, path in zip(parts[::2], parts[1::2], strict=True):
            kind = _KINDS[fields.rsplit(" ", 1)[1][0]]
            changes.append(PathChange(path, kind, sizes.get(path, 0)))
        return tuple(changes)

    # Between hosts

    async def _publish(
        self, repository: Path, loop: str, revision: str, parent: str | None
    ) -> None:
        """Put the revision's bundle into the object store: what its parent lacks, or all of it."""
        depth = 0 if parent is None else await self._depth(loop, parent) + 1
        whole = parent is None or depth % WHOLE_EVERY == 0
        ref = f"refs/loopwright/{revision}"
        await self._git.run(repository, "update-ref", ref, revision)
        since = [] if whole else [f"^{parent}"]
        bundle = await self._git.run(
            repository, "bundle", "create", "--quiet", "--version=2", "-", ref, *since
        )
        meta = {"needs": "" if whole else str(parent), "depth": str(depth)}
        await self._objects.put(_name(loop, revision), bundle, meta=meta)
        self._depths[revision] = depth

    async def _depth(self, loop: str, revision: str) -> int:
        if revision not in self._depths:
            meta = await self._objects.info(_name(loop, revision))
            self._depths[revision] = int(meta.get("depth", "0"))
        return self._depths[revision]

    async def _fetch(self, repository: Path, loop: str, revision: str) -> None:
        """Bring the revision, and what it needs, from the object store if it is not here."""
        missing: list[str] = []
        needed = revision
        while needed and not await self._has(repository, needed):
            if needed in missing or len(missing) > WHOLE_EVERY:
                raise WorkspaceDamagedError(f"the bundles of revision {revision} need each other")
            missing.append(needed)
            try:
                needed = (await self._objects.info(_name(loop, needed))).get("needs", "")
            except ObjectMissingError as error:
                raise RevisionMissingError(
                    f"revision {needed} of loop {loop} is not in the object store"
                ) from error
        for item in reversed(missing):
            await self._unbundle(repository, loop, item)

    async def _has(self, repository: Path, revision: str) -> bool:
        ref = repository / "refs" / "loopwright" / revision
        return ref.exists()

    async def _unbundle(self, repository: Path, loop: str, revision: str) -> None:
        bundle = await self._objects.get(_name(loop, revision))
        with tempfile.NamedTemporaryFile(dir=repository, suffix=".bundle") as file:
            file.write(bundle)
            file.flush()
            try:
                heads = await self._git.run(repository, "bundle", "unbundle", file.name)
            except GitFailedError as error:
                raise WorkspaceDamagedError(
                    f"the bundle of revision {revision} cannot be read: {error}"
                ) from error
        if [line.split()[0] for line in heads.decode().splitlines()] != [revision]:
            raise WorkspaceDamagedError(f"the bundle of revision {revision} holds another one")
        await self._git.run(repository, "update-ref", f"refs/loopwright/{revision}", revision)


def _name(loop: str, revision: str) -> str:
    return f"{loop}/{revision}"


def _same(tree: Path, item: Item | None, mode: str, data: bytes) -> bool:
    return (
        item is not None
        and item.mode == mode
        and item.bytes == len(data)
        and content(tree, item) == data
    )


def _texts_stream(files: Mapping[str, str]) -> bytes:
    for path in files:
        check_path(path)
    texts = {path: text.encode() for path, text in files.items()}
    if any(other.startswith(f"{path}/") for path in texts for other in texts):
        raise WorkspacePathError("a path of the workspace is a file and a folder at once")
    return b"".join(_modify(path, FILE, data) for path, data in sorted(texts.items()))


def _folder_stream(folder: Path, items: Iterable[Item]) -> bytes:
    return b"".join(_modify(item.path, item.mode, content(folder, item)) for item in items)


def _modify(path: str, mode: str, data: bytes) -> bytes:
    """One file of a fast-import stream; the path is quoted as C would."""
    quoted = b"".join(
        b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes([byte])
        for byte in path.encode("utf-8", "surrogateescape")
    )
    head = f"M {mode} inline ".encode() + b'"' + quoted + b'"\n'
    return head + b"data %d\n" % len(data) + data + b"\n"
