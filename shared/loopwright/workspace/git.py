"""Running git so that nothing but its arguments decides what it does.

Git is never pointed at a tree of files, only at a bare repository of ours: it reads objects and
writes objects. So what lies in a workspace (hooks, attributes, ignore files, a `.git`) is content
to it. The settings below say the same again, for the day when that changes.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from loopwright.workspace.errors import GitFailedError, GitMissingError

#: The oldest git that this was tried with.
OLDEST_GIT = (2, 39)

#: Wall-clock seconds of one git command.
GIT_TIMEOUT_S = 30.0

#: Bytes of git's complaint that are kept for the message.
_COMPLAINT_BYTES = 2000

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.fileMode": "true",
    "core.logAllRefUpdates": "false",
    # Most of a workspace's life is writing; bundles come out about a tenth larger than at 6.
    "core.compression": "1",
    # Looking for likenesses between large files took half a minute for 256 MiB.
    "core.bigFileThreshold": "4m",
    # What is imported stays in its pack: unpacking would be another process and a second deflate.
    "fastimport.unpackLimit": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "protocol.allow": "never",
    "transfer.fsckObjects": "true",
    "commit.gpgSign": "false",
}

#: Attributes that change bytes, hide differences or name commands; none is ever in force.
ATTRIBUTES = (
    "* !text !eol !crlf !filter !ident !working-tree-encoding !diff !merge !binary "
    "!export-subst !export-ignore !whitespace !delta\n"
)


class Git:
    """The git command, hardened and bounded in time."""

    def __init__(self, executable: str = "git", *, timeout_s: float = GIT_TIMEOUT_S) -> None:
        self._executable = executable
        self._timeout_s = timeout_s
        self._is_recent = False

    async def init(self, git_dir: Path) -> None:
        """Make a bare repository, complete or not at all as far as others can see."""
        await self._check_version(git_dir.parent)
        with tempfile.TemporaryDirectory(prefix="new-", dir=git_dir.parent) as new:
            fresh = Path(new, "git")
            fresh.mkdir()
            await self.run(fresh, "init", "--quiet", "--bare", "--template=")
            (fresh / "info").mkdir(exist_ok=True)
            (fresh / "info" / "attributes").write_text(ATTRIBUTES)
            fresh.rename(git_dir)

    async def run(
        self,
        git_dir: Path,
        *args: str,
        stdin: bytes | IO[bytes] = b"",
        stdout: IO[bytes] | None = None,
    ) -> bytes:
        """What `git …` prints, unless it goes to `stdout`; raises GitFailedError."""
        if isinstance(stdin, bytes):
            with tempfile.TemporaryFile(dir=git_dir) as source:
                source.write(stdin)
                source.seek(0)
                return await self.run(git_dir, *args, stdin=source, stdout=stdout)
        if stdout is None:
            with tempfile.TemporaryFile(dir=git_dir) as sink:
                await self.run(git_dir, *args, stdin=stdin, stdout=sink)
                sink.seek(0)
                return sink.read()
        with tempfile.TemporaryFile(dir=git_dir) as complaints:
            code = await self._wait(git_dir, args, stdin, stdout, complaints)
            if code:
                complaints.seek(0)
                text = complaints.read(_COMPLAINT_BYTES).decode(errors="replace").strip()
                raise GitFailedError(f"git {args[0]} in {git_dir} ended with {code}: {text}")
        return b""

    async def _wait(
        self,
        git_dir: Path,
        args: tuple[str, ...],
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                self._executable,
                *args,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=git_dir,
                env=_environment(git_dir),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise _missing(f"'{self._executable}' was not found") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                return await process.wait()
        except TimeoutError as error:
            raise GitFailedError(
                f"git {args[0]} in {git_dir} took more than {self._timeout_s:g} s and was ended"
            ) from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def _check_version(self, folder: Path) -> None:
        if self._is_recent:
            return
        text = (await self.run(folder, "--version")).decode(errors="replace").strip()
        found = re.search(r"(\d+)\.(\d+)", text)
        if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
            raise _missing(f"'{self._executable}' is '{text}'")
        self._is_recent = True


def _environment(git_dir: Path) -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_DIR": str(git_dir.absolute()),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for index, (key, value) in enumerate(_SETTINGS.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def _missing(what: str) -> GitMissingError:
    wanted = ".".join(map(str, OLDEST_GIT))
    return GitMissingError(
        f"workspaces need git {wanted} or newer and {what}; install it, for example with: "
        "apt-get install git"
    )
