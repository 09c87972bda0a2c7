"""Where a loop's first files come from besides a folder: a revision of a git repository.

It is fetched by whoever submits the goal, with their own git, settings and keys. Nothing is checked
out: no hook, filter or submodule of that repository runs or is followed.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopwright.workspace.errors import GitFailedError, GitMissingError, WorkspacePathError
from loopwright.workspace.trees import FILE, MODES, Item

#: Wall-clock seconds of one git command; a fetch of a large repository takes long.
FETCH_S = 600.0
#: Git's own helpers (`ext::`) would run any command that an address names.
PROTOCOLS = "file:git:http:https:ssh"
_SUBMODULE = "160000"
_COMPLAINT_CHARS = 500


def read_git(address: str, ref: str, base: Path) -> Iterator[Item]:
    """Every file and link of a revision: `ref` is a branch, a tag, a whole commit id or HEAD.

    An address without a scheme is a folder beside `base`, if there is one. Raises GitFailedError,
    and WorkspacePathError for a submodule.
    """
    source = str((base / address).resolve()) if (base / address).is_dir() else address
    with tempfile.TemporaryDirectory(prefix="loopwright-fetch-") as folder:
        _git(folder, "init", "--quiet", "--bare", "--template=")
        _git(folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", source, ref)
        listed = _git(folder, "ls-tree", "-r", "-z", "--full-tree", "FETCH_HEAD")
        entries = [_entry(line) for line in listed.split(b"\0")[:-1]]
        yield from _contents(folder, entries)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    mode: str
    blob: str


def _entry(line: bytes) -> _Entry:
    about, _, path = line.partition(b"\t")
    mode, _, blob = about.decode().split()
    if mode == _SUBMODULE:
        raise WorkspacePathError(
            f"{os.fsdecode(path)} is a submodule; a workspace keeps files, so put them in instead, "
            "or start from a folder or an archive that holds them"
        )
    # Group-writable files, which git once knew, are files.
    return _Entry(os.fsdecode(path), mode if mode in MODES else FILE, blob)


def _contents(folder: str, entries: list[_Entry]) -> Iterator[Item]:
    """The entries with their contents, by one git process for all."""
    with tempfile.TemporaryFile(dir=folder) as asked:
        asked.write("".join(f"{entry.blob}\n" for entry in entries).encode())
        asked.seek(0)
        argv = ["git", "cat-file", "--batch"]
        process = subprocess.Popen(
            argv, cwd=folder, env=_environment(os.environ), stdin=asked, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            try:
                for entry in entries:
                    size = int(process.stdout.readline().split()[2])
                    yield Item(entry.path, entry.mode, process.stdout.read(size))
                    process.stdout.read(1)
            finally:
                process.kill()


def _git(folder: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitMissingError("git is not installed; it fetches `workspace.git`") from error
    except subprocess.TimeoutExpired as error:
        raise GitFailedError(f"git {arguments[0]} took more than {FETCH_S:g} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:_COMPLAINT_CHARS]
        raise GitFailedError(f"git {arguments[0]} ended with {done.returncode}: {_shown(said)}")
    return done.stdout


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Theirs, but nothing that points at another repository, and nobody is asked anything."""
    kept = {name: value for name, value in ours.items() if not name.startswith("GIT_DIR")}
    for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        kept.pop(name, None)
    kept.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }


def _shown(text: str) -> str:
    """Without what stands before an @ in an address: often a password."""
    return re.sub(r"://[^/@\s]+@", "://…@", text)
