"""The workspaces of many loops: made from files, checked out, compared, sent around.

Each loop has a bare repository below `root`, which is only a cache: it can be deleted when nothing
runs, and any part of it by `evict`. A revision is published as a bundle in the object store before
anybody hears of it, so any host can take the next step.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import time

from loopwright.errors import LoopwrightError
from loopwright.ids import LOOP_ID_PATTERN, is_loop_id
from loopwright.objects import ObjectDamagedError, ObjectMissingError, Objects
from loopwright.workspace.archives import read_archive
from loopwright.workspace.errors import (
    RevisionMissingError,
    WorkspaceDamagedError,
    WorkspaceError,
)
from loopwright.workspace.git import Git
from loopwright.workspace.locks import ALONE, SHARED, held, lock_file, try_lock
from loopwright.workspace.paths import matches
from loopwright.workspace.repository import (
    Entry,
    PathChange,
    Repository,
    Snapshot,
    check_revision,
)
from loopwright.workspace.restore import differences, mend
from loopwright.workspace.threads import in_thread
from loopwright.workspace.trees import (
    Item,
    TreeLimits,
    checked,
    opened,
    read_files,
    read_folder,
    remove_tree,
)

#: Every so many revisions the bundle is a whole one, so that a new host needs few of them.
WHOLE_EVERY = 16

#: The first revision's date: the same files give the same revision on every host.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

#: A diff for people is cut here.
DIFF_BYTES = 256 * 1024

#: A checkout that nobody holds and that is older than this many seconds was left by a crash.
_LEFT_S = 60.0


class Workspaces:
    """The workspaces of many loops on this host; processes may share a root."""

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

    async def create(
        self, loop: str, files: Mapping[str, str | bytes] | Path | Iterator[Item] | None
    ) -> Snapshot:
        """The first revision: of a folder without its `.git`, of an archive, of contents by path,
        of items from elsewhere, or empty.
        """
        if isinstance(files, Path):
            if files.is_dir():
                items = read_folder(files.resolve(), self._limits, without=(".git",))
            else:
                items = checked(read_archive(files, self._limits), self._limits)
        elif isinstance(files, Iterator):
            items = checked(files, self._limits)
        else:
            items = read_files(files or {}, self._limits)
        async with self._opened(loop) as repository:
            snapshot = await repository.commit(
                items, parent=None, message="the goal's workspace", at=BEGINNING
            )
            await self._publish(repository, loop, snapshot)
        return snapshot

    async def commit(
        self, loop: str, tree: Path, *, parent: str, message: str, at: datetime
    ) -> Snapshot:
        """Everything in `tree` as a revision on `parent`; the parent itself if nothing changed.

        The revision is in the object store when this returns. Empty folders are not kept.
        """
        async with self._opened(loop, parent) as repository:
            snapshot = await repository.commit(
                read_folder(tree, self._limits), parent=parent, message=message, at=at
            )
            await self._publish(repository, loop, snapshot)
        return snapshot

    async def adopt(self, loop: str, source: str, revision: str) -> None:
        """Publish a revision of another loop as one of this loop's, with all it builds on."""
        async with self._opened(source, revision) as repository:
            bundle = await repository.bundle(revision, None)
        await self._objects.put(_name(loop, revision), bundle, meta={"parent": "", "depth": "0"})

    async def contents(self, loop: str, revision: str) -> str:
        """Digest of a revision's files: equal for equal contents, whatever led to them."""
        async with self._opened(loop, revision) as repository:
            return await repository.tree(revision)

    @asynccontextmanager
    async def checkout(self, loop: str, revision: str) -> AsyncIterator[Path]:
        """A clean tree of the revision in a fresh folder, which goes when the block ends."""
        with self._place() as place:
            try:
                tree = place / "work"
                tree.mkdir()
                tree.chmod(0o755)
                async with self._opened(loop, revision) as repository:
                    await repository.write((await repository.entries(revision)).values(), tree)
                yield tree
            finally:
                await in_thread(remove_tree, place)

    async def export(self, loop: str, revision: str, to: Path) -> None:
        """Write the revision's files to a folder that is new or empty."""
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise WorkspaceError(f"{to} exists and is not empty; name another folder")
        async with self._opened(loop, revision) as repository:
            entries = await repository.entries(revision)
            to.mkdir(parents=True, exist_ok=True)
            await repository.write(entries.values(), to.resolve())

    async def ls(self, loop: str, revision: str) -> list[Entry]:
        """The revision's files and links, in the order of their paths."""
        async with self._opened(loop, revision) as repository:
            return list((await repository.entries(revision)).values())

    async def read(self, loop: str, revision: str, path: str) -> bytes | None:
        """A file's bytes or a link's target; None where there is nothing."""
        async with self._opened(loop, revision) as repository:
            entry = (await repository.entries(revision)).get(path)
            if entry is None:
                return None
            async with repository.contents([entry]) as items:
                return next(items).data

    async def diff(self, loop: str, before: str, after: str) -> str:
        """What changed, as text for people, cut at DIFF_BYTES; binary files are only named."""
        async with self._opened(loop, before, after) as repository:
            raw = await repository.patch(before, after)
        text = raw[:DIFF_BYTES].decode(errors="replace")
        return text if len(raw) <= DIFF_BYTES else f"{text}\n… the rest is left out\n"

    async def patch(self, loop: str, before: str, after: str) -> bytes:
        """What changed, as a patch that `git apply` takes."""
        async with self._opened(loop, before, after) as repository:
            return await repository.patch(before, after, "--binary", "--full-index")

    async def restore(self, tree: Path, loop: str, base: str, patterns: Sequence[str]) -> list[str]:
        """Make every path in `tree` that matches the patterns as it is in `base`.

        Changed files are put back, deleted ones made again, added ones removed. Returns the paths
        that had differed.
        """
        async with self._opened(loop, base) as repository:
            entries = await repository.entries(base)
            wanted = {path: entry for path, entry in entries.items() if matches(path, patterns)}
            try:
                found = await in_thread(differences, tree, wanted, patterns)
                async with repository.contents(found.wanted) as items:
                    await in_thread(mend, tree, found.added, items)
            except OSError as error:
                raise WorkspaceError(f"paths in {tree} cannot be put back: {error}") from error
        return found.paths

    async def changed(
        self, loop: str, base: str, revision: str, patterns: Sequence[str]
    ) -> list[PathChange]:
        """The paths matching the patterns that differ between two revisions."""
        async with self._opened(loop, base, revision) as repository:
            before, after = await repository.entries(base), await repository.entries(revision)
        changes = [_change(before.get(p), after.get(p)) for p in sorted({*before, *after})]
        return [change for change in changes if change and matches(change.path, patterns)]

    async def descends(self, loop: str, revision: str, base: str) -> bool:
        """Whether a revision is `base` or grew out of it."""
        async with self._opened(loop, base, revision) as repository:
            return await repository.descends(revision, base)

    async def evict(self, keep_bytes: int) -> list[str]:
        """Drop the least recently used caches until at most so many bytes are left.

        Returns the loops that went; those in use stay. Checkouts left by a crash go as well.
        """
        return await in_thread(self._evict, keep_bytes)

    # Between hosts

    async def _publish(self, repository: Repository, loop: str, snapshot: Snapshot) -> None:
        """Put the revision's bundle into the object store, then hold the revision."""
        revision, parent = snapshot.revision, snapshot.parent
        if revision == parent or repository.holds(revision):
            return
        depth = await self._depth(loop, parent) + 1 if parent else 0
        since = parent if depth % WHOLE_EVERY else None
        bundle = await repository.bundle(revision, since)
        meta = {"parent": since or "", "depth": str(depth)}
        await self._objects.put(_name(loop, revision), bundle, meta=meta)
        self._depths[revision] = depth
        repository.hold(revision)

    async def _depth(self, loop: str, revision: str) -> int:
        """How many revisions came before; -1, so that the next is whole, if nobody knows."""
        if revision not in self._depths:
            try:
                meta = await self._objects.info(_name(loop, revision))
                self._depths[revision] = int(meta.get("depth", "-1"))
            except (ObjectMissingError, ObjectDamagedError, ValueError):
                return -1
        return self._depths[revision]

    async def _fetch(self, repository: Repository, loop: str, revision: str) -> None:
        """Bring the revision, and what it builds on, from the object store if it is not here."""
        missing: list[str] = []
        needed = revision
        while needed and not repository.holds(needed):
            if needed in missing or len(missing) > WHOLE_EVERY:
                raise WorkspaceDamagedError(f"the bundles of revision {revision} need each other")
            missing.append(needed)
            try:
                needed = (await self._objects.info(_name(loop, needed))).get("parent", "")
            except (ObjectMissingError, ObjectDamagedError) as error:
                raise _lost(loop, needed, error) from error
        for item in reversed(missing):
            await repository.receive(await self._bundle(loop, item), item)

    async def _bundle(self, loop: str, revision: str) -> bytes:
        try:
            return await self._objects.get(_name(loop, revision))
        except (ObjectMissingError, ObjectDamagedError) as error:
            raise _lost(loop, revision, error) from error

    # On this host

    @asynccontextmanager
    async def _opened(self, loop: str, *revisions: str) -> AsyncIterator[Repository]:
        """The loop's repository, safe from eviction, with the revisions in it."""
        if not re.fullmatch(LOOP_ID_PATTERN, loop):
            raise WorkspaceError(f"{loop!r} is no loop id; one is a ULID of 26 characters")
        for revision in revisions:
            check_revision(revision)
        self._make_folders()
        async with held(self._lock(loop), SHARED):  # only an eviction takes it alone
            folder = self._repository(loop)
            repository = Repository(folder, self._git, self._limits)
            await repository.make()
            os.utime(folder)
            for revision in revisions:
                await self._fetch(repository, loop, revision)
            yield repository

    @contextmanager
    def _place(self) -> Iterator[Path]:
        """A fresh folder that a sandboxed command, of another user, can pass through."""
        self._make_folders()
        place = Path(tempfile.mkdtemp(prefix="tree-", dir=self._root / "checkouts"))
        place.chmod(0o711)
        with opened(place) as folder:
            try_lock(folder, ALONE)
            yield place

    def _make_folders(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        for name, mode in (("repositories", 0o700), ("locks", 0o700), ("checkouts", 0o711)):
            folder = self._root / name
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)

    def _lock(self, loop: str) -> Path:
        return self._root / "locks" / loop

    def _repository(self, loop: str) -> Path:
        return self._root / "repositories" / loop

    def _evict(self, keep_bytes: int) -> list[str]:
        self._make_folders()
        self._sweep()
        caches = [p for p in (self._root / "repositories").iterdir() if is_loop_id(p.name)]
        sizes = {path: _bytes_below(path) for path in caches}
        used = {path: _changed_at(path) for path in caches}
        left, gone = sum(sizes.values()), []
        for path in sorted(caches, key=lambda path: used[path]):
            if left > keep_bytes and self._drop(path):
                left -= sizes[path]
                gone.append(path.name)
        return gone

    def _drop(self, cache: Path) -> bool:
        """Remove a cache unless it is in use; others see it whole or not at all."""
        with lock_file(self._lock(cache.name)) as file:
            if not try_lock(file, ALONE) or not cache.exists():
                return False
            trash = Path(tempfile.mkdtemp(prefix="evicted-", dir=self._root / "checkouts"))
            cache.rename(trash / "cache")
        remove_tree(trash)
        return True

    def _sweep(self) -> None:
        for place in (self._root / "checkouts").iterdir():
            if time() - _changed_at(place) < _LEFT_S:
                continue
            with suppress(FileNotFoundError), opened(place) as folder:
                if try_lock(folder, ALONE):
                    remove_tree(place)


def _change(before: Entry | None, after: Entry | None) -> PathChange | None:
    if after is None:
        return PathChange(before.path, "deleted", 0) if before else None
    if before is None:
        return PathChange(after.path, "added", after.bytes)
    return None if before == after else PathChange(after.path, "modified", after.bytes)


def _bytes_below(folder: Path) -> int:
    """About how much a folder takes; its files may go while they are counted."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(where, name).lstat().st_size
    return total


def _changed_at(path: Path) -> float:
    """When a folder was last used; now, if it has just gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time()


def _lost(loop: str, revision: str, error: LoopwrightError) -> WorkspaceError:
    if isinstance(error, ObjectMissingError):
        return RevisionMissingError(
            f"revision {revision} of loop {loop} is not in the object store"
        )
    return WorkspaceDamagedError(f"the bundle of revision {revision} is damaged: {error}")


def _name(loop: str, revision: str) -> str:
    return f"{loop}/{revision}"
