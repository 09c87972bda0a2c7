"""A loop's work as a branch of somebody's own repository: one commit, nothing else is touched.

Neither the files there nor what is staged nor the branch that is checked out changes; the commit is
made in an index of its own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from loopwright.workspace.errors import GitFailedError, GitMissingError

GIT_S = 120.0
_WHO = {"NAME": "Loopwright", "EMAIL": "loopwright@localhost"}


def make_branch(repository: Path, name: str, patch: bytes, message: str, onto: str = "HEAD") -> str:
    """Put the patch as one commit on `onto` under a new branch; the commit's id.

    Where the repository has moved on since the loop began, the patch is merged by its contents.
    Raises GitFailedError where that cannot be done, or the branch is there already.
    """
    with tempfile.TemporaryDirectory(prefix="loopwright-branch-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(repository, "check-ref-format", "--branch", name)
        parent = _git(repository, "rev-parse", "--verify", f"{onto}^{{commit}}").strip()
        _git(repository, "read-tree", parent, env=index)
        if patch.strip():
            _git(repository, "apply", "--cached", "--3way", "-", stdin=patch, env=index)
        tree = _git(repository, "write-tree", env=index).strip()
        commit = _git(repository, "commit-tree", tree, "-p", parent, "-m", message).strip()
        _git(repository, "branch", "--no-track", name, commit)
    return commit


def _git(
    repository: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> str:
    who = {f"GIT_{role}_{key}": _WHO[key] for role in ("AUTHOR", "COMMITTER") for key in _WHO}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=repository,
            env={**os.environ, "LC_ALL": "C", **who, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=GIT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitMissingError(
            f"git is not installed, or there is no folder {repository}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise GitFailedError(f"git {arguments[0]} took more than {GIT_S:g} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:1000]
        raise GitFailedError(f"git {arguments[0]} in {repository}: {said}")
    return done.stdout.decode()
