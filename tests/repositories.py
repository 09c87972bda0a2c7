"""Git repositories of somebody else, for tests that begin with one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "x", f"GIT_{role}_EMAIL": "x@example.org"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | who, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def two_commits(folder: Path) -> Path:
    """Two commits, a tag on the first; modes, a link, and attributes that would show."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("a.bin")
    (folder / ".gitattributes").write_text("* text eol=crlf export-subst\nnone.txt export-ignore\n")
    (folder / "none.txt").write_text("$Format:%H$\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "tag", "v1")
    (folder / "none.txt").write_text("two\n")
    git(folder, "commit", "-q", "-am", "two")
    return folder
