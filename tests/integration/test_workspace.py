"""Workspaces with the real git: bytes round-trip, nothing in a tree runs, any host goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.ids import new_loop_id
from loopwright.objects import MemoryObjects, ObjectDamagedError, ObjectMissingError, Objects
from loopwright.workspace import Snapshot, WorkspaceError, Workspaces
from loopwright.workspace.errors import (
    GitFailedError,
    GitMissingError,
    RevisionMissingError,
    WorkspaceBusyError,
    WorkspaceDamagedError,
    WorkspacePathError,
    WorkspaceTooLargeError,
)
from loopwright.workspace.git import Git
from loopwright.workspace.locks import SHARED, held
from loopwright.workspace.repository import blob_id
from loopwright.workspace.threads import in_thread
from loopwright.workspace.trees import TreeLimits, read_folder
from loopwright.workspace.workspaces import WHOLE_EVERY

LOOP = "01JQZZZZZZZZZZZZZZZZZZZZZZ"
AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
NOWHERE = "0" * 40


class Journal(MemoryObjects):
    """Objects that remember which were fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    async def get(self, name: str) -> bytes:
        self.fetched.append(name)
        return await super().get(name)


class FolderObjects:
    """Objects that processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, data: bytes, *, meta: Mapping[str, str] = {}) -> None:
        path = self._path(name)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(repr((data, dict(meta))).encode())
        Path(file.name).rename(path)

    async def get(self, name: str) -> bytes:
        return self._entry(name)[0]

    async def info(self, name: str) -> Mapping[str, str]:
        return self._entry(name)[1]

    async def exists(self, name: str) -> bool:
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._folder / name.replace("/", ":")

    def _entry(self, name: str) -> tuple[bytes, dict[str, str]]:
        if not self._path(name).exists():
            raise ObjectMissingError(name)
        data, meta = eval(self._path(name).read_text())
        return data, meta


@pytest.fixture
def kept() -> Journal:
    return Journal()


@pytest.fixture
def here(tmp_path: Path, kept: Journal) -> Workspaces:
    return Workspaces(tmp_path / "here", kept)


@pytest.fixture
def there(tmp_path: Path, kept: Journal) -> Workspaces:
    """Another host with the same object store."""
    return Workspaces(tmp_path / "there", kept)


async def step(
    workspaces: Workspaces, parent: str, files: Mapping[str, str | None], message: str = "step"
) -> Snapshot:
    """Check out, write or delete files, commit."""
    async with workspaces.checkout(LOOP, parent) as tree:
        for path, text in files.items():
            target = tree / path
            if text is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
        return await workspaces.commit(LOOP, tree, parent=parent, message=message, at=AT)


def files_of(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Path → permissions and content."""
    return {
        str(path.relative_to(tree)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }


# Contents


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name.lower() not in (".", "..", ".git", "git~1"))


@settings(max_examples=15, deadline=None)
@given(
    files=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=200), max_size=6
    )
)
async def test_bytes_and_names_come_back_as_they_went_in(files: dict[str, bytes]) -> None:
    files = {p: d for p, d in files.items() if not any(o.startswith(f"{p}/") for o in files)}
    objects, loop = MemoryObjects(), new_loop_id()
    with tempfile.TemporaryDirectory() as folder:
        first = Workspaces(Path(folder, "a"), objects)
        empty = await first.create(loop, None)
        made = await first.create(loop, files)
        async with first.checkout(loop, empty.revision) as tree:
            for path, data in files.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_bytes(data)
            snapshot = await first.commit(loop, tree, parent=empty.revision, message="", at=AT)
        second = Workspaces(Path(folder, "b"), objects)
        for revision in (snapshot.revision, made.revision):
            async with second.checkout(loop, revision) as tree:
                assert {p: d for p, (_, d) in files_of(tree).items()} == files
        for path, data in files.items():
            assert await second.read(loop, snapshot.revision, path) == data


async def test_modes_links_and_odd_names_are_kept(here: Workspaces, there: Workspaces) -> None:
    first = await here.create(LOOP, {"a": "1"})
    async with here.checkout(LOOP, first.revision) as tree:
        (tree / "-rf").write_bytes(b"\r\n\0\xff")
        (tree / 'new\nline "q" \\ é').write_text("x")
        (tree / "run").write_text("#!/bin/sh\n")
        (tree / "run").chmod(0o6755)
        (tree / "d" / "empty").mkdir(parents=True)
        (tree / "d" / "up").symlink_to("../a")
        (tree / "dangling").symlink_to("not-there")
        (tree / ".gitignore").write_text("*\n")
        snapshot = await here.commit(LOOP, tree, parent=first.revision, message="m", at=AT)
    async with there.checkout(LOOP, snapshot.revision) as tree:
        assert files_of(tree) == {
            "-rf": (0o644, b"\r\n\0\xff"),
            ".gitignore": (0o644, b"*\n"),
            "a": (0o644, b"1"),
            "d/up": (0o644, b"1"),
            'new\nline "q" \\ é': (0o644, b"x"),
            "run": (0o755, b"#!/bin/sh\n"),
        }
        assert (tree / "d" / "up").readlink() == Path("../a")
        assert (tree / "dangling").is_symlink()
        assert not (tree / "d" / "empty").exists()
    assert await there.read(LOOP, snapshot.revision, "d/up") == b"../a"
    assert await there.read(LOOP, snapshot.revision, "d") is None
    assert [entry.path for entry in await there.ls(LOOP, snapshot.revision)] == sorted(
        ["-rf", ".gitignore", "a", "d/up", "dangling", 'new\nline "q" \\ é', "run"]
    )


async def test_a_snapshot_says_what_changed(here: Workspaces) -> None:
    first = await here.create(LOOP, {"a": "1", "b": "2", "c/d": "3", "same": "4"})
    assert [(c.path, c.kind, c.bytes) for c in first.changed] == [
        ("a", "added", 1), ("b", "added", 1), ("c/d", "added", 1), ("same", "added", 1),
    ]  # fmt: skip
    async with here.checkout(LOOP, first.revision) as tree:
        (tree / "a").write_text("11")
        (tree / "b").unlink()
        (tree / "b").mkdir()
        (tree / "b" / "x").touch()
        shutil.rmtree(tree / "c")
        (tree / "c").write_text("was a folder")
        (tree / "same").chmod(0o755)
        second = await here.commit(LOOP, tree, parent=first.revision, message="m", at=AT)
    assert second.parent == first.revision
    assert [(c.path, c.kind, c.bytes) for c in second.changed] == [
        ("a", "modified", 2), ("b", "deleted", 0), ("b/x", "added", 0),
        ("c", "added", 12), ("c/d", "deleted", 0), ("same", "modified", 1),
    ]  # fmt: skip
    assert tuple(await here.changed(LOOP, first.revision, second.revision, ["*"])) == second.changed
    assert [
        c.path for c in await here.changed(LOOP, first.revision, second.revision, ["c", "/b"])
    ] == ["b", "b/x", "c", "c/d"]


async def test_the_same_content_is_no_new_revision(here: Workspaces, kept: Journal) -> None:
    first = await here.create(LOOP, {"a": "1"})
    again = await step(here, first.revision, {"a": "1"})
    assert again == Snapshot(first.revision, first.revision)


async def test_a_folder_becomes_a_workspace_without_its_repository(
    here: Workspaces, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "a").write_text("1")
    (folder / "l").symlink_to("a")
    (tmp_path / "alias").symlink_to(folder)
    first = await here.create(LOOP, folder)
    assert [entry.path for entry in await here.ls(LOOP, first.revision)] == ["a", "l"]
    assert (await here.create(LOOP, tmp_path / "alias")).revision == first.revision
    with pytest.raises(WorkspacePathError, match=r"nowhere.* cannot be read: No such file"):
        await here.create(LOOP, tmp_path / "nowhere")


# Refusals


def _nested(tree: Path) -> None:
    (tree / "vendor" / ".git").mkdir(parents=True)


def _gitfile(tree: Path) -> None:
    (tree / ".git").write_text("gitdir: /etc\n")


def _absolute(tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")


def _upwards(tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "link").symlink_to("../../x")


def _through_another(tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "up").symlink_to("..")
    (tree / "link").symlink_to("d/up/../x")


def _fifo(tree: Path) -> None:
    os.mkfifo(tree / "fifo")


def _socket(tree: Path) -> None:
    # Not by bind(): a checkout's path can be longer than the 107 bytes that an address holds.
    os.mknod(tree / "sock", stat.S_IFSOCK | 0o600)


def _bytes(tree: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).touch()


def _deep(tree: Path) -> None:
    (tree / "/".join("d" * 120)).mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_nested, "vendor/.git"), (_gitfile, "'.git'"), (_absolute, "link .*/etc/passwd"),
        (_upwards, "d/link"), (_through_another, "link"), (_fifo, "fifo"), (_socket, "sock"),
        (_bytes, "udcff"), (_deep, "101 levels"),
    ],
)  # fmt: skip
async def test_a_workspace_does_not_keep(here: Workspaces, spoil: object, named: str) -> None:
    first = await here.create(LOOP, None)
    async with here.checkout(LOOP, first.revision) as tree:
        assert callable(spoil)
        spoil(tree)
        with pytest.raises(WorkspacePathError, match=named):
            await here.commit(LOOP, tree, parent=first.revision, message="m", at=AT)


async def test_a_folder_swapped_for_a_link_is_not_followed(
    here: Workspaces, tmp_path: Path
) -> None:
    first = await here.create(LOOP, None)
    async with here.checkout(LOOP, first.revision) as tree:
        tree.rename(tree.parent / "moved")
        tree.symlink_to("/etc")
        with pytest.raises(WorkspacePathError, match="cannot be read"):
            await here.commit(LOOP, tree, parent=first.revision, message="m", at=AT)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (TreeLimits(files=2), "more than 2 files and folders"),
        (TreeLimits(file_bytes=4), "c has 5 bytes; .* at most 4"),
        (TreeLimits(tree_bytes=8), "more than 8 bytes, c is the file"),
    ],
)
async def test_a_workspace_has_limits(tmp_path: Path, limits: TreeLimits, message: str) -> None:
    objects = MemoryObjects()
    files = {"a": "1", "b": "123", "c": "12345"}
    free = await Workspaces(tmp_path / "free", objects).create(LOOP, files)
    bound = Workspaces(tmp_path / "bound", objects, limits=limits)
    folder = tmp_path / "folder"
    await Workspaces(tmp_path / "free", objects).export(LOOP, free.revision, folder)
    for source in (files, folder):
        with pytest.raises(WorkspaceTooLargeError, match=message):
            await bound.create(LOOP, source)
    with pytest.raises(WorkspaceTooLargeError, match=message):
        await bound.ls(LOOP, free.revision)


async def test_a_path_cannot_be_file_and_folder(here: Workspaces) -> None:
    with pytest.raises(WorkspacePathError, match="a is a file and, for a/b, a folder at once"):
        await here.create(LOOP, {"a": "1", "a/b": "2"})


@pytest.mark.parametrize("loop", ["", "../x", LOOP.lower(), LOOP + "\n", f"{LOOP}/x"])
async def test_only_a_loop_id_names_a_workspace(here: Workspaces, loop: str) -> None:
    with pytest.raises(WorkspaceError, match="no loop id"):
        await here.create(loop, None)


@pytest.mark.parametrize("revision", ["", "HEAD", "--all", "A" * 40, "0" * 39, "0" * 40 + "\n"])
async def test_only_a_revision_is_asked_for(here: Workspaces, revision: str) -> None:
    await here.create(LOOP, None)
    with pytest.raises(WorkspaceError, match="no revision"):
        await here.ls(LOOP, revision)


async def test_a_date_needs_a_time_zone(here: Workspaces, tmp_path: Path) -> None:
    first = await here.create(LOOP, None)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").touch()
    with pytest.raises(ValueError, match="no time zone"):
        await here.commit(
            LOOP, tmp_path / "tree", parent=first.revision, message="m", at=AT.replace(tzinfo=None)
        )


# Nothing in a tree runs


async def test_nothing_in_a_tree_runs_or_changes_bytes(
    here: Workspaces,
    there: Workspaces,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hooks, monitors, filters and drivers that the user's own configuration would allow."""
    sentinel = tmp_path / "ran"
    touch = tmp_path / "touch.sh"
    touch.write_text(f"#!/bin/sh\necho $0 >> {sentinel}\ncat\n")
    touch.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    config = (
        f"[core]\nfsmonitor = {touch}\nhooksPath = {tmp_path}/hooks\nautocrlf = true\n"
        f'[filter "evil"]\nclean = {touch}\nsmudge = {touch}\nprocess = {touch}\nrequired\n'
        f'[diff "evil"]\ncommand = {touch}\ntextconv = {touch}\n[diff]\nexternal = {touch}\n'
        f'[merge "evil"]\ndriver = {touch}\n[commit]\ngpgSign = true\n[gpg]\nprogram = {touch}\n'
    )
    (home / ".gitconfig").write_text(config)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "pre-commit", "post-checkout"):
        shutil.copy(touch, hooks / name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(touch))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    everything = "text eol=crlf ident filter=evil diff=evil merge=evil export-subst"
    first = await here.create(
        LOOP,
        {
            ".gitattributes": f"* {everything} working-tree-encoding=UTF-16\n",
            "sub/.gitattributes": "* -diff export-ignore\n",
            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = -u./evil\n',
            ".gitignore": "*\n",
            ".githooks/pre-commit": touch.read_text(),
            "a": "one\r\ntwo\n$Id$ $Format:%H$\n",
            "sub/b": "1\n",
        },
    )
    second = await step(here, first.revision, {"a": "one\ntwo\r\n$Id$\n", "sub/b": "2\n"})
    assert [c.path for c in second.changed] == ["a", "sub/b"]
    assert await there.read(LOOP, second.revision, "a") == b"one\ntwo\r\n$Id$\n"
    async with there.checkout(LOOP, first.revision) as tree:
        assert (tree / "a").read_bytes() == b"one\r\ntwo\n$Id$ $Format:%H$\n"
        assert (tree / "sub" / "b").exists()
        (tree / "a").write_text("changed")
        assert await there.restore(tree, LOOP, first.revision, ["a"]) == ["a"]
    difference = await there.diff(LOOP, first.revision, second.revision)
    assert "+$Id$" in difference
    assert "-1\n+2\n" in difference  # shown although the tree says -diff
    await there.patch(LOOP, first.revision, second.revision)
    await there.export(LOOP, second.revision, tmp_path / "out")
    assert not sentinel.exists()


# Determinism


async def test_the_same_step_is_the_same_revision_everywhere(tmp_path: Path) -> None:
    snapshots = []
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    for name, at in (("a", AT), ("b", elsewhere), ("c", AT + timedelta(microseconds=9))):
        workspaces = Workspaces(tmp_path / name, MemoryObjects())
        first = await workspaces.create(LOOP, {"x": "1", "y": "2"})
        async with workspaces.checkout(LOOP, first.revision) as tree:
            (tree / "x").write_text("3")
            snapshots.append(
                await workspaces.commit(LOOP, tree, parent=first.revision, message="é\n\0", at=at)
            )
    assert snapshots[0] == snapshots[1] == snapshots[2]
    log = subprocess.run(
        ["git", f"--git-dir={tmp_path}/a/repositories/{LOOP}", "log", "-1", "--format=%an%ae%cn%ad",
         "--date=raw", snapshots[0].revision],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert log == f"loopwrightloopwright@localhostloopwright{int(AT.timestamp())} +0000\n"


async def test_message_and_date_are_part_of_a_revision(here: Workspaces) -> None:
    first = await here.create(LOOP, None)
    one = await step(here, first.revision, {"a": "1"}, "one")
    other = await step(here, first.revision, {"a": "1"}, "\udcff")
    assert one.revision != other.revision


# Between hosts


async def chain(workspaces: Workspaces, length: int) -> list[str]:
    revisions = [(await workspaces.create(LOOP, {"a": "0"})).revision]
    for number in range(1, length):
        snapshot = await step(workspaces, revisions[-1], {"a": str(number)})
        revisions.append(snapshot.revision)
    return revisions


async def test_a_new_host_needs_few_bundles(
    here: Workspaces, there: Workspaces, kept: Journal, tmp_path: Path
) -> None:
    revisions = await chain(here, 2 * WHOLE_EVERY + 3)
    whole = [n for n, r in enumerate(revisions) if (await kept.info(f"{LOOP}/{r}"))["parent"] == ""]
    assert whole == [0, WHOLE_EVERY, 2 * WHOLE_EVERY]
    assert await there.read(LOOP, revisions[-1], "a") == str(len(revisions) - 1).encode()
    assert kept.fetched == [f"{LOOP}/{r}" for r in revisions[2 * WHOLE_EVERY :]]
    kept.fetched.clear()
    last_before = revisions[2 * WHOLE_EVERY - 1]
    assert await Workspaces(tmp_path / "third", kept).ls(LOOP, last_before)
    assert len(kept.fetched) == WHOLE_EVERY
    for revision in revisions:  # and any of them can be had
        assert await there.ls(LOOP, revision)


async def test_a_host_that_takes_over_keeps_to_the_chain(
    here: Workspaces, there: Workspaces, kept: Journal
) -> None:
    revisions = await chain(here, 3)
    taken = await step(there, revisions[-1], {"b": "x"})
    assert await kept.info(f"{LOOP}/{taken.revision}") == {"parent": revisions[-1], "depth": "3"}
    assert await here.read(LOOP, taken.revision, "b") == b"x"


async def test_a_bundle_is_one_that_git_reads(
    here: Workspaces, kept: Journal, tmp_path: Path
) -> None:
    revisions = await chain(here, 2)
    for name, revision in zip(("0.bundle", "1.bundle"), revisions, strict=True):
        (tmp_path / name).write_bytes(await kept.get(f"{LOOP}/{revision}"))
    clone = tmp_path / "clone"
    for argv in (
        ["clone", "-q", "-b", "loop", str(tmp_path / "0.bundle"), str(clone)],
        ["-C", str(clone), "bundle", "verify", "-q", str(tmp_path / "1.bundle")],
        ["-C", str(clone), "pull", "-q", str(tmp_path / "1.bundle"), "loop"],
    ):
        subprocess.run(["git", *argv], check=True, capture_output=True)
    assert (clone / "a").read_text() == "1"


async def test_a_loop_can_fork(here: Workspaces, there: Workspaces) -> None:
    first = await here.create(LOOP, {"a": "0"})
    left = await step(here, first.revision, {"a": "left"})
    right = await step(there, first.revision, {"a": "right"})
    assert await here.read(LOOP, right.revision, "a") == b"right"
    assert await there.read(LOOP, left.revision, "a") == b"left"


async def test_an_unpublished_revision_is_not_held(tmp_path: Path) -> None:
    class Refusing(MemoryObjects):
        refuses = False

        async def put(self, name: str, data: bytes, *, meta: Mapping[str, str] = {}) -> None:
            if self.refuses:
                raise OSError("the store is full")
            await super().put(name, data, meta=meta)

    objects = Refusing()
    workspaces = Workspaces(tmp_path / "w", objects)
    first = await workspaces.create(LOOP, None)
    objects.refuses = True
    with pytest.raises(OSError, match="full"):
        await step(workspaces, first.revision, {"a": "1"})
    objects.refuses = False
    again = await step(workspaces, first.revision, {"a": "1"})
    assert await objects.exists(f"{LOOP}/{again.revision}")


async def test_a_parent_that_the_store_lost_makes_the_next_bundle_whole(
    here: Workspaces, tmp_path: Path
) -> None:
    revisions = await chain(here, 2)
    empty = MemoryObjects()
    amnesiac = Workspaces(tmp_path / "here", empty)
    third = await step(amnesiac, revisions[-1], {"a": "x"})
    assert await empty.info(f"{LOOP}/{third.revision}") == {"parent": "", "depth": "0"}


async def test_a_revision_that_nobody_published_is_missing(here: Workspaces) -> None:
    await here.create(LOOP, None)
    with pytest.raises(RevisionMissingError, match=f"{NOWHERE} of loop {LOOP}"):
        await here.ls(LOOP, NOWHERE)


async def test_a_damaged_bundle_is_refused(here: Workspaces, kept: Journal, tmp_path: Path) -> None:
    first = await here.create(LOOP, {"a": "content " * 100})
    second = await step(here, first.revision, {"a": "other"})
    name = f"{LOOP}/{first.revision}"
    good = await kept.get(name)
    header = good.index(b"\n\n") + 2
    damaged = {
        "truncated": good[:-30],
        "flipped": good[: header + 60] + bytes([good[header + 60] ^ 1]) + good[header + 61 :],
        "empty": b"",
        "noise": os.urandom(200),
        "headless": good[header:],
        "another": await kept.get(f"{LOOP}/{second.revision}"),
        "false tip": (await kept.get(f"{LOOP}/{second.revision}")).replace(
            second.revision.encode(), first.revision.encode()
        ),
    }
    for kind, data in damaged.items():
        await kept.put(name, data, meta={"parent": ""})
        fresh = Workspaces(tmp_path / kind, kept)
        for _ in range(2):  # and nothing of it stays that would be trusted the next time
            with pytest.raises(WorkspaceDamagedError, match=first.revision):
                await fresh.ls(LOOP, first.revision)
        await kept.put(name, good, meta={"parent": ""})
        assert await fresh.read(LOOP, first.revision, "a") == b"content " * 100


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ObjectMissingError, RevisionMissingError), (ObjectDamagedError, WorkspaceDamagedError)],
)
async def test_what_the_store_says_of_an_object_is_said_of_the_revision(
    tmp_path: Path, error: type[Exception], expected: type[Exception]
) -> None:
    class Failing(MemoryObjects):
        async def get(self, name: str) -> bytes:
            raise error(name)

    objects = Failing()
    first = await Workspaces(tmp_path / "a", objects).create(LOOP, None)
    with pytest.raises(expected, match=first.revision):
        await Workspaces(tmp_path / "b", objects).ls(LOOP, first.revision)


@pytest.mark.parametrize("parent", ["self", "../../../etc"])
async def test_a_chain_that_lies_is_refused(
    here: Workspaces, there: Workspaces, kept: Journal, parent: str
) -> None:
    first = await here.create(LOOP, {"a": "1"})
    name = f"{LOOP}/{first.revision}"
    lie = first.revision if parent == "self" else parent
    await kept.put(name, await kept.get(name), meta={"parent": lie})
    with pytest.raises(WorkspaceError):
        await there.ls(LOOP, first.revision)


async def _hostile(tmp_path: Path, kept: Journal, mode: str, path: str, data: bytes) -> str:
    """Publish a revision that no Workspaces would make, as a hostile client could."""
    folder = tmp_path / "hostile"
    git = ["git", "-C", str(folder)]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)

    def run(*args: str, stdin: bytes = b"") -> str:
        done = subprocess.run([*git, *args], input=stdin, check=True, capture_output=True)
        return done.stdout.decode().strip()

    blob = run("hash-object", "-w", "--stdin", stdin=data) if mode != "160000" else "1" * 40
    if mode == "160000" or "/" not in path:
        kind = "commit" if mode == "160000" else "blob"
        entry = f"{mode} {kind} {blob}\t{path}\n"
    else:
        folder_name, name = path.split("/")
        inner = run("mktree", stdin=f"{mode} blob {blob}\t{name}\n".encode())
        entry = f"040000 tree {inner}\t{folder_name}\n"
    tree = run("mktree", stdin=entry.encode())
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    revision = run(*who, "commit-tree", tree, "-m", "x")
    run("update-ref", "refs/heads/loop", revision)
    run("bundle", "create", str(tmp_path / "b"), "refs/heads/loop")
    await kept.put(f"{LOOP}/{revision}", (tmp_path / "b").read_bytes(), meta={"parent": ""})
    return revision


@pytest.mark.parametrize(
    ("mode", "path", "data"),
    [
        ("120000", "link", b"/etc/passwd"),
        ("120000", "link", b"../../x"),
        ("160000", "module", b""),
        ("100644", "../x", b"x"),
        ("100644", ".git/config", b"x"),
        ("100644", "a/..", b"x"),
    ],
)
async def test_a_hostile_revision_writes_nothing_outside(
    here: Workspaces, kept: Journal, tmp_path: Path, mode: str, path: str, data: bytes
) -> None:
    revision = await _hostile(tmp_path, kept, mode, path, data)
    with pytest.raises(WorkspaceError):
        async with here.checkout(LOOP, revision):
            pass
    with pytest.raises(WorkspaceError):
        await here.export(LOOP, revision, tmp_path / "out")
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_symlink()]


# Patches and exports


async def test_a_patch_is_taken_by_git_apply(here: Workspaces, tmp_path: Path) -> None:
    first = await here.create(LOOP, {"a": "1\n", "gone": "x", "bin": b"\0\1\2"})
    async with here.checkout(LOOP, first.revision) as tree:
        (tree / "a").write_text("2\r\n")
        (tree / "gone").unlink()
        (tree / "bin").write_bytes(os.urandom(1000))
        (tree / "bin").chmod(0o755)
        (tree / "l\n").symlink_to("a")
        second = await here.commit(LOOP, tree, parent=first.revision, message="m", at=AT)
        expected = files_of(tree)
    await here.export(LOOP, first.revision, tmp_path / "out")
    patch = await here.patch(LOOP, first.revision, second.revision)
    subprocess.run(["git", "apply", "-"], input=patch, cwd=tmp_path / "out", check=True)
    assert files_of(tmp_path / "out") == expected
    assert "Binary files a/bin and b/bin differ" in await here.diff(
        LOOP, first.revision, second.revision
    )


async def test_a_long_diff_is_cut(here: Workspaces) -> None:
    first = await here.create(LOOP, None)
    second = await step(here, first.revision, {"a": "line\n" * 100_000})
    text = await here.diff(LOOP, first.revision, second.revision)
    assert text.endswith("… the rest is left out\n")
    assert len(text) < 300_000


async def test_an_export_needs_an_empty_folder(here: Workspaces, tmp_path: Path) -> None:
    first = await here.create(LOOP, {"a": "1"})
    (tmp_path / "empty").mkdir()
    await here.export(LOOP, first.revision, tmp_path / "empty")
    for target in (tmp_path / "empty", tmp_path / "empty" / "a"):
        with pytest.raises(WorkspaceError, match="is not empty; name another folder"):
            await here.export(LOOP, first.revision, target)


async def test_a_checkout_is_passable_for_others_and_goes_whatever_is_in_it(
    here: Workspaces, tmp_path: Path
) -> None:
    first = await here.create(LOOP, {"a": "1"})
    async with here.checkout(LOOP, first.revision) as tree:
        assert stat.S_IMODE(tree.parent.stat().st_mode) == 0o711
        assert stat.S_IMODE(tree.stat().st_mode) == 0o755
        deep = os.open(tree, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=deep)
            deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = deeper
        os.close(deep)
        (tree / "closed").mkdir(mode=0)
    assert not tree.parent.exists()
    assert not list((tmp_path / "here" / "checkouts").iterdir())


# Putting back


async def test_matching_paths_are_put_back(here: Workspaces) -> None:
    base = await here.create(
        LOOP, {"src/a.py": "1", "tests/t.py": "t", "tests/gone.py": "g", "tests/x/y.py": "y"}
    )
    async with here.checkout(LOOP, base.revision) as tree:
        (tree / "src/a.py").write_text("2")
        (tree / "tests/t.py").write_text("cheat")
        (tree / "tests/t.py").chmod(0o4755)
        (tree / "tests/gone.py").unlink()
        (tree / "tests/new/deep").mkdir(parents=True)
        (tree / "tests/new/deep/conftest.py").touch()
        os.mkfifo(tree / "tests/pipe")
        (tree / "tests/link").symlink_to("/etc")
        (tree / "tests/.git").write_text("gitdir: /")
        found = await here.restore(tree, LOOP, base.revision, ["tests/**"])
        assert found == [
            "tests/.git", "tests/gone.py", "tests/link", "tests/new/deep/conftest.py",
            "tests/pipe", "tests/t.py",
        ]  # fmt: skip
        assert files_of(tree) == {
            "src/a.py": (0o644, b"2"),
            "tests/gone.py": (0o644, b"g"),
            "tests/t.py": (0o644, b"t"),
            "tests/x/y.py": (0o644, b"y"),
        }
        assert sorted(p.name for p in (tree / "tests").iterdir()) == ["gone.py", "t.py", "x"]
        assert await here.restore(tree, LOOP, base.revision, ["tests/**"]) == []


async def test_a_parent_that_became_a_link_or_a_file_is_replaced_not_followed(
    here: Workspaces, tmp_path: Path
) -> None:
    base = await here.create(LOOP, {"tests/t.py": "t", "more/m.py": "m", "file": "f", "l": "x"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "t.py").write_text("theirs")
    async with here.checkout(LOOP, base.revision) as tree:
        shutil.rmtree(tree / "tests")
        (tree / "tests").symlink_to(outside)
        shutil.rmtree(tree / "more")
        (tree / "more").write_text("a file")
        (tree / "file").unlink()
        (tree / "file" / "folder").mkdir(parents=True)
        (tree / "l").unlink()
        (tree / "l").symlink_to("file")
        patterns = ["tests/**", "more/", "/file", "l"]
        found = await here.restore(tree, LOOP, base.revision, patterns)
        assert found == ["file", "l", "more/m.py", "tests/t.py"]
        assert files_of(tree) == {
            "file": (0o644, b"f"), "l": (0o644, b"x"),
            "more/m.py": (0o644, b"m"), "tests/t.py": (0o644, b"t"),
        }  # fmt: skip
        assert not (tree / "tests").is_symlink()
        assert not (tree / "l").is_symlink()
    assert [p.name for p in outside.iterdir()] == ["t.py"]
    assert (outside / "t.py").read_text() == "theirs"


async def test_putting_back_does_not_write_through_a_hard_link(here: Workspaces) -> None:
    base = await here.create(LOOP, {"tests/t.py": "t", "mine": "mine"})
    async with here.checkout(LOOP, base.revision) as tree:
        (tree / "tests/t.py").unlink()
        (tree / "tests/t.py").hardlink_to(tree / "mine")
        assert await here.restore(tree, LOOP, base.revision, ["tests/"]) == ["tests/t.py"]
        assert (tree / "mine").read_text() == "mine"


async def test_a_tree_that_cannot_be_read_is_not_put_back(here: Workspaces, tmp_path: Path) -> None:
    base = await here.create(LOOP, {"a": "1"})
    with pytest.raises(WorkspaceError, match="cannot be put back"):
        await here.restore(tmp_path / "nowhere", LOOP, base.revision, ["*"])


# Concurrency and the cache


async def test_many_tasks_share_a_workspace(here: Workspaces, there: Workspaces) -> None:
    first = await here.create(LOOP, {"a": "0"})

    async def work(number: int) -> str:
        workspaces = (here, there)[number % 2]
        return (await step(workspaces, first.revision, {"a": f"{number // 2}"})).revision

    revisions = await asyncio.gather(*(work(n) for n in range(12)))
    assert len(set(revisions)) == 6  # each work is done twice, here and there
    for revision in revisions:
        assert await there.ls(LOOP, revision)


WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_workspace import AT, FolderObjects
from loopwright.workspace import Workspaces

async def main(folder, loop, number):
    workspaces = Workspaces(Path(folder, "shared"), FolderObjects(Path(folder, "objects")))
    revision = (await workspaces.create(loop, {"a": "0"})).revision
    for step in range(4):
        async with workspaces.checkout(loop, revision) as tree:
            (tree / "a").write_text(f"{number % 2} {step}")
            snapshot = await workspaces.commit(loop, tree, parent=revision, message="m", at=AT)
        revision = snapshot.revision
        await workspaces.evict(0)
    print(revision)

asyncio.run(main(sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


async def test_many_processes_share_a_root(tmp_path: Path) -> None:
    """Four at once on one loop, two of them with the same work, evicting as they go."""
    (tmp_path / "objects").mkdir()
    here = str(Path(__file__).parent)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, here, str(tmp_path), LOOP, str(number),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0] * 4, outputs
    revisions = [out.decode().strip() for out, _ in outputs]
    assert revisions[0] == revisions[2] != revisions[1] == revisions[3]
    fresh = Workspaces(tmp_path / "fresh", FolderObjects(tmp_path / "objects"))
    assert await fresh.read(LOOP, revisions[0], "a") == b"0 3"
    assert not list((tmp_path / "shared" / "checkouts").iterdir())


async def test_a_killed_process_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Killed at many moments of its work; the next one on the same root gets to the end."""
    (tmp_path / "objects").mkdir()
    argv = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(tmp_path), LOOP, "0"]
    for tenths in range(4, 10):
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
        try:
            async with asyncio.timeout(tenths / 10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    done = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await done.communicate()
    assert done.returncode == 0
    fresh = Workspaces(tmp_path / "fresh", FolderObjects(tmp_path / "objects"))
    assert await fresh.read(LOOP, out.decode().strip(), "a") == b"0 3"


async def test_what_a_killed_import_left_is_no_obstacle(here: Workspaces, tmp_path: Path) -> None:
    """Git marks a pack before it moves it into place; killed in between, it leaves the mark."""
    first = await here.create(LOOP, {"a": "1"})
    repository = tmp_path / "here" / "repositories" / LOOP
    (repository / "refs" / "loopwright" / first.revision).unlink()
    (pack,) = (repository / "objects" / "pack").glob("*.pack")
    pack.unlink()
    pack.with_suffix(".idx").unlink()
    pack.with_suffix(".keep").touch()
    assert await here.create(LOOP, {"a": "1"}) == first
    assert pack.exists()


async def test_the_least_recently_used_caches_are_evicted(here: Workspaces, tmp_path: Path) -> None:
    loops = [new_loop_id() for _ in range(3)]
    revisions = {loop: (await here.create(loop, {"a": loop})).revision for loop in loops}
    folder = tmp_path / "here" / "repositories"
    for age, loop in enumerate(reversed(loops)):
        os.utime(folder / loop, (AT.timestamp() - age, AT.timestamp() - age))
    size = sum(p.lstat().st_size for p in (folder / loops[2]).rglob("*") if p.is_file())
    async with held(tmp_path / "here" / "locks" / loops[0], SHARED):
        assert await here.evict(size) == [loops[1], loops[2]]  # the oldest is in use
    await here.ls(loops[1], revisions[loops[1]])
    assert await here.evict(10**9) == []
    assert sorted(p.name for p in folder.iterdir()) == loops[:2]
    for loop in loops:
        assert await here.read(loop, revisions[loop], "a") == loop.encode()


async def test_a_checkout_left_by_a_crash_is_swept_and_a_held_one_is_not(
    here: Workspaces, tmp_path: Path
) -> None:
    first = await here.create(LOOP, {"a": "1"})
    left = tmp_path / "here" / "checkouts" / "tree-left"
    (left / "work").mkdir(parents=True)
    young = tmp_path / "here" / "checkouts" / "tree-young"
    young.mkdir()
    async with here.checkout(LOOP, first.revision) as tree:
        for place in (left, tree.parent):
            os.utime(place, (0, 0))
        await here.evict(10**9)
        assert (tree / "a").exists()
    assert not left.exists()
    assert young.exists()


async def test_a_workspace_locked_for_too_long_is_busy(
    here: Workspaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopwright.workspace.locks.LOCK_S", 0.05)
    await here.create(LOOP, None)
    code = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); "
        "print(flush=True); input()"
    )
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "here" / "locks" / LOOP),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    await holder.stdout.readline()
    with pytest.raises(WorkspaceBusyError, match=LOOP):
        await here.ls(LOOP, NOWHERE)
    await holder.communicate(b"\n")


async def test_a_lost_content_in_the_cache_is_named(here: Workspaces, tmp_path: Path) -> None:
    first = await here.create(LOOP, {"a": "1"})
    repository, blob = tmp_path / "here" / "repositories" / LOOP, blob_id(b"1")
    for pack in (repository / "objects" / "pack").glob("*.pack"):
        data = pack.read_bytes()
        pack.unlink()
        pack.with_suffix(".idx").unlink()
        argv = ["git", f"--git-dir={repository}", "unpack-objects", "-q"]
        subprocess.run(argv, input=data, check=True)
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorkspaceError, match="lost from the cache"):
        await here.read(LOOP, first.revision, "a")


async def test_a_cancelled_checkout_leaves_nothing(here: Workspaces, tmp_path: Path) -> None:
    first = await here.create(LOOP, {f"{n}": "x" for n in range(300)})

    async def check_out() -> None:
        async with here.checkout(LOOP, first.revision):
            pytest.fail("it was cancelled")

    for turns in range(1, 40, 3):
        task = asyncio.create_task(check_out())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not list((tmp_path / "here" / "checkouts").iterdir())


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    started, go_on, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        started.set()
        go_on.wait()
        ended.append(True)
        raise OSError("nobody is left to be told")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


async def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path) -> None:
    """As `/proc` shows: a file whose size is said to be 0 and whose content is longer."""
    with pytest.raises(WorkspaceTooLargeError, match="has more than 10 bytes"):
        list(read_folder(Path("/proc/sys/kernel/random"), TreeLimits(file_bytes=10)))


# Git itself


def _fake_git(folder: Path, script: str) -> Git:
    path = folder / "fake-git"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Git(str(path), timeout_s=0.2)


@pytest.mark.parametrize("script", [None, "echo git version 2.11.0", "echo what"])
async def test_a_missing_or_old_git_is_a_sentence(tmp_path: Path, script: str | None) -> None:
    git = Git(str(tmp_path / "no-git")) if script is None else _fake_git(tmp_path, script)
    with pytest.raises(GitMissingError, match="apt-get install git"):
        await Workspaces(tmp_path / "w", MemoryObjects(), git=git).create(LOOP, None)


async def test_git_is_bounded_in_time(tmp_path: Path) -> None:
    git = _fake_git(tmp_path, "sleep 100")
    with pytest.raises(GitFailedError, match=r"took more than 0\.2 s"):
        await Workspaces(tmp_path / "w", MemoryObjects(), git=git).create(LOOP, None)


async def test_what_git_complains_of_is_told(tmp_path: Path) -> None:
    git = _fake_git(tmp_path, "echo the disk is full >&2; exit 7")
    with pytest.raises(GitFailedError, match="ended with 7: the disk is full"):
        await Workspaces(tmp_path / "w", MemoryObjects(), git=git).create(LOOP, None)


async def test_a_repository_that_cannot_be_made_is_an_error(
    here: Workspaces, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "repositories").symlink_to("/proc/self/nowhere")
    with pytest.raises(OSError, match=r"nowhere|exists|No such"):
        await here.create(LOOP, None)


async def test_workspaces_travel_through_a_real_object_store(
    objects: Objects, tmp_path: Path
) -> None:
    first, second = (Workspaces(tmp_path / name, objects) for name in ("first", "second"))
    base = await first.create(LOOP, {"a": os.urandom(2_000_000)})
    done = await step(second, base.revision, {"b": "x"})
    assert await first.read(LOOP, done.revision, "b") == b"x"
    assert len(await first.read(LOOP, done.revision, "a") or b"") == 2_000_000
