"""A loop's work as a branch of somebody's own repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loopwright.workspace.branches import make_branch
from loopwright.workspace.errors import GitFailedError
from repositories import git, two_commits


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return two_commits(tmp_path / "repository")


PATCH = b"""\
diff --git a/none.txt b/none.txt
--- a/none.txt
+++ b/none.txt
@@ -1 +1 @@
-two
+three
diff --git a/sub/new.txt b/sub/new.txt
new file mode 100644
--- /dev/null
+++ b/sub/new.txt
@@ -0,0 +1 @@
+new
"""


def test_a_branch_holds_the_work_and_nothing_else_changes(repository: Path) -> None:
    (repository / "none.txt").write_text("somebody is at work here\n")
    (repository / "staged").write_text("x")
    git(repository, "add", "staged")
    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    commit = make_branch(repository, "loop/greeting", PATCH, "Greeting\n\nLoop: 01J\n")
    assert git(repository, "rev-parse", "loop/greeting") == commit
    assert git(repository, "rev-parse", "loop/greeting~1") == before[1]
    assert git(repository, "show", "loop/greeting:none.txt") == "three"
    assert git(repository, "show", "loop/greeting:sub/new.txt") == "new"
    assert git(repository, "log", "-1", "--format=%s %an", "loop/greeting") == "Greeting Loopwright"
    assert (
        git(repository, "status", "--porcelain"),
        git(repository, "rev-parse", "HEAD"),
    ) == before


def test_a_branch_that_is_there_is_left_alone(repository: Path) -> None:
    with pytest.raises(GitFailedError, match="already exists"):
        make_branch(repository, "main", PATCH, "m")
    assert git(repository, "log", "--format=%s", "main") == "two\none"


def test_work_that_does_not_fit_any_more_makes_no_branch(repository: Path) -> None:
    (repository / "none.txt").write_text("four\n")
    git(repository, "commit", "-q", "-am", "four")
    with pytest.raises(GitFailedError, match="git apply in"):
        make_branch(repository, "work", PATCH, "m")
    assert git(repository, "branch", "--list", "work") == ""


@pytest.mark.parametrize("name", ["-f", "a..b", "HEAD~1", ""])
def test_a_name_that_is_none_is_refused(name: str, repository: Path) -> None:
    with pytest.raises(GitFailedError):
        make_branch(repository, name, b"", "m")


def test_a_folder_that_is_no_repository_is_said(tmp_path: Path) -> None:
    subprocess.run(["git", "--version"], check=True, capture_output=True)
    with pytest.raises(GitFailedError, match="not a git repository"):
        make_branch(tmp_path, "work", b"", "m")
