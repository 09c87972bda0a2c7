"""What a loop can begin with: a git revision or an archive, and what of them is refused."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from loopwright.errors import GoalInvalidError
from loopwright.goal import parse_goal
from loopwright.objects import MemoryObjects
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.workspace import WorkspaceError, Workspaces
from loopwright.workspace.errors import GitFailedError, WorkspacePathError, WorkspaceTooLargeError
from loopwright.workspace.sources import read_git
from loopwright.workspace.trees import TreeLimits
from repositories import git, two_commits


@pytest.fixture
def here(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "root", MemoryObjects(), limits=TreeLimits(50, 5000, 10_000))


async def contents(here: Workspaces, source: object) -> dict[str, tuple[str, bytes | None]]:
    """What a workspace holds that begins with the source: mode and bytes by path."""
    revision = (await here.create(LOOP_ID, source)).revision  # type: ignore[arg-type]
    return {
        entry.path: (entry.mode, await here.read(LOOP_ID, revision, entry.path))
        for entry in await here.ls(LOOP_ID, revision)
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return two_commits(tmp_path / "repository")


async def test_a_revision_of_a_repository_is_a_workspace_byte_by_byte(
    here: Workspaces, repository: Path, tmp_path: Path
) -> None:
    found = await contents(here, read_git("repository", "v1", tmp_path))
    assert found["a.bin"] == ("100644", bytes(range(256)))
    assert found["run.sh"] == ("100755", b"#!/bin/sh\n")
    assert found["link"] == ("120000", b"a.bin")
    assert found["none.txt"] == ("100644", b"$Format:%H$\n")
    for ref in ("main", "HEAD", git(repository, "rev-parse", "HEAD")):
        newest = await contents(here, read_git(f"file://{repository}", ref, tmp_path))
        assert newest["none.txt"] == ("100644", b"two\n")


def test_what_is_no_repository_is_said_without_its_password(
    repository: Path, tmp_path: Path
) -> None:
    for address, ref in ((str(repository), "gone"), (str(tmp_path / "nothing"), "main")):
        with pytest.raises(GitFailedError, match="git fetch ended with"):
            list(read_git(address, ref, tmp_path))
    with pytest.raises(GitFailedError) as refused:
        list(read_git("https://me:hunter22@127.0.0.1:1/x.git", "main", tmp_path))
    assert "hunter22" not in str(refused.value)


def test_an_address_runs_no_command(tmp_path: Path) -> None:
    with pytest.raises(GitFailedError, match="not allowed"):
        list(read_git(f"ext::sh -c touch% {tmp_path}/ran", "main", tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_submodule_is_refused_by_its_path(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},lib/other")
    git(repository, "commit", "-q", "-m", "three")
    with pytest.raises(WorkspacePathError, match="lib/other is a submodule"):
        list(read_git(str(repository), "main", tmp_path))


async def test_a_link_of_a_repository_that_leads_out_is_refused(
    here: Workspaces, repository: Path, tmp_path: Path
) -> None:
    (repository / "out").symlink_to("/etc/passwd")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "three")
    with pytest.raises(WorkspacePathError, match="out is a link"):
        await contents(here, read_git(str(repository), "main", tmp_path))


def tar(path: Path, *members: tarfile.TarInfo, data: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, to, mode
    return found


def zipped(path: Path, **members: tuple[bytes, int]) -> Path:
    """Members by name, `__` for a slash: content and mode."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (data, mode) in members.items():
            info = zipfile.ZipInfo(name.replace("__", "/"))
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


async def test_archives_become_workspaces(here: Workspaces, tmp_path: Path) -> None:
    packed = tar(
        tmp_path / "a.tar.gz",
        member("./d", tarfile.DIRTYPE),
        member("./d/run", mode=0o755),
        member("link", tarfile.SYMTYPE, "d/run"),
    )
    wanted = {"d/run": ("100755", b"x"), "link": ("120000", b"d/run")}
    assert await contents(here, packed) == wanted
    regular, link = stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777
    other = zipped(tmp_path / "a.zip", d__run=(b"x", regular), link=(b"d/run", link))
    assert await contents(here, other) == wanted


Packed = Callable[[Path], Path]
HOSTILE: dict[str, tuple[Packed, str]] = {
    "climbs": (lambda p: tar(p, member("../evil")), "../evil"),
    "absolute": (lambda p: tar(p, member("/etc/evil")), "/etc/evil"),
    "link out": (lambda p: tar(p, member("l", tarfile.SYMTYPE, "../../etc")), "l is a link"),
    "through a link": (
        lambda p: tar(p, member("l", tarfile.SYMTYPE, "."), member("l/x")),
        "l is a file and a folder",
    ),
    "hard link": (lambda p: tar(p, member("h", tarfile.LNKTYPE, "/etc/passwd")), "h is neither"),
    "device": (lambda p: tar(p, member("dev", tarfile.CHRTYPE)), "dev is neither"),
    "pipe": (lambda p: tar(p, member("pipe", tarfile.FIFOTYPE)), "pipe is neither"),
    "repository": (lambda p: tar(p, member(".git/config")), "git repository"),
    "twice": (lambda p: tar(p, member("a"), member("a")), "a is there twice"),
    "zip climbs": (lambda p: zipped(p, **{"..__evil": (b"x", 0)}), "../evil"),
    "zip link": (lambda p: zipped(p, l=(b"/etc/passwd", stat.S_IFLNK)), "l is a link"),
    "zip socket": (lambda p: zipped(p, s=(b"", stat.S_IFSOCK)), "s is neither"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_archive_is_refused_by_what_is_wrong(
    kind: str, here: Workspaces, tmp_path: Path
) -> None:
    make, said = HOSTILE[kind]
    with pytest.raises(WorkspacePathError) as refused:
        await contents(here, make(tmp_path / "packed"))
    assert said in str(refused.value)
    assert not list(tmp_path.rglob("evil"))


async def test_a_bomb_is_read_no_further_than_the_limits(here: Workspaces, tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "bomb.zip", zeros=(bytes(50_000_000), 0))
    with pytest.raises(WorkspaceTooLargeError, match="zeros has 5001 bytes"):
        await contents(here, bomb)
    many = tar(tmp_path / "many.tar.gz", *(member(f"f{i}") for i in range(60)))
    with pytest.raises(WorkspaceTooLargeError, match="more than 50 files"):
        await contents(here, many)


async def test_what_is_no_archive_is_a_sentence(here: Workspaces, tmp_path: Path) -> None:
    plain, cut = tmp_path / "plain.zip", tmp_path / "cut.tar.gz"
    plain.write_text("hello")
    with pytest.raises(WorkspaceError, match="neither a zip nor a tar"):
        await contents(here, plain)
    whole = tar(tmp_path / "whole.tar.gz", member("a"), data=os.urandom(4000))
    shutil.copy(whole, cut)
    os.truncate(cut, whole.stat().st_size // 2)
    with pytest.raises(WorkspaceError, match="cannot be read as an archive"):
        await contents(here, cut)


def test_a_goal_names_one_source_and_none_that_cannot_travel() -> None:
    def faults(*, packed: bool = False, **workspace: str) -> list[str]:
        goal = playbook_goal().model_dump(mode="json", exclude_none=True, by_alias=True)
        try:
            parse_goal({**goal, "workspace": workspace}, packed=packed)
        except GoalInvalidError as error:
            return [f"{fault.path}: {fault.message}" for fault in error.faults]
        return []

    assert faults(git="https://example.org/x.git", ref="main") == []
    assert faults(archive="x.zip") == []
    assert "give one of" in faults(git="x", archive="y")[0]
    assert "`ref` is of `git`" in faults(ref="main")[0]
    assert faults(git="--upload-pack=x")
    for name in ("git", "archive", "folder"):
        assert "cannot travel" in faults(packed=True, **{name: "x"})[0]
