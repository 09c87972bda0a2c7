"""A loop that begins with somebody's repository or archive, and its work as a branch there."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from installation import Installation, installation
from repositories import git, two_commits


def goal(folder: Path, **workspace: str) -> str:
    """A goal file that adds a line to none.txt."""
    change = {"tool": "shell", "args": {"run": "echo more >> none.txt; test -x run.sh"}}
    rule = {"name": "add", "when": {"start": True}, "do": [change]}
    check = {"name": "more", "kind": "regex", "path": "none.txt", "pattern": "(?m)^more$"}
    path = folder / "goal.yaml"
    whole = {
        "name": "sources",
        "objective": "One line more.",
        "workspace": workspace,
        "planner": {"backend": "playbook", "rules": [rule]},
        "verify": {"checks": [check]},
    }
    path.write_text(yaml.safe_dump(whole))
    return str(path)


def achieved(here: Installation, path: str) -> str:
    ended = here.json("run", path)
    assert ended["outcome"] == "achieved", ended
    return str(ended["loop"])


def test_a_repository_is_worked_on_and_gets_a_branch(tmp_path: Path) -> None:
    theirs = two_commits(tmp_path / "theirs")
    with installation(tmp_path / "data") as here:
        loop = achieved(here, goal(tmp_path, git="theirs", ref="main"))
        made = here.json("result", loop, "--branch", "loop/more", "--repo", str(theirs))
        assert git(theirs, "show", "loop/more:none.txt") == "two\nmore"
        assert git(theirs, "rev-parse", "loop/more") == made["commit"]
        assert git(theirs, "status", "--porcelain") == ""
        turned = here.json("show", loop, "--checks")["checks"]["more"]
        assert [(item["iteration"], item["status"]) for item in turned] == [(1, "passed")]
        assert "iterations 1 to 1" in here.run("show", loop, "--checks").stdout
        again = here.run("result", loop, "--branch", "loop/more", "--repo", str(theirs))
        assert again.returncode == 1
        assert "already exists" in again.stderr

        shutil.make_archive(str(tmp_path / "packed"), "gztar", theirs, base_dir="none.txt")
        (tmp_path / "goal.yaml").unlink()
        path = Path(goal(tmp_path, archive="packed.tar.gz"))
        path.write_text(path.read_text().replace("; test -x run.sh", ""))
        loop = achieved(here, str(path))
        here.json("result", loop, "--to", str(tmp_path / "out"))
        assert (tmp_path / "out/none.txt").read_text() == "two\nmore\n"

        missing = here.run("run", goal(tmp_path, archive="nothing.zip"))
        assert missing.returncode == 2
        assert "there is no archive" in missing.stderr
