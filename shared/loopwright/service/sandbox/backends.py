"""The sandboxes there are: bubblewrap or Landlock, with seccomp and limits, and limits alone."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from loopwright.service.sandbox import bwrap, landlock, paths, seccomp
from loopwright.service.sandbox.command import (
    Command,
    Completed,
    Excerpt,
    SandboxUnavailableError,
)
from loopwright.service.sandbox.process import Run

if TYPE_CHECKING:
    from loopwright.service.sandbox.inside.spec import Confinement, Spec


class Sandbox(Protocol):
    """Runs untrusted commands; one at a time in a writable folder."""

    @property
    def level(self) -> str:
        """What keeps commands in; it stands in each result as `isolation`."""
        ...

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        """Run a command to its end, its limits or `stop`, and kill all that it started.

        Raises ValueError for folders that must not be granted and SandboxUnavailableError if
        the command could not be confined; it then was not started.
        """
        ...


@dataclass(frozen=True, slots=True)
class LandlockSandbox:
    """Landlock, seccomp and rlimits; as root also a user id for each command.

    Works without any privilege. The folders on the way to a workspace must be passable for
    others (0711, see `make_root`) when the service is root without CAP_SYS_ADMIN.
    """

    scratch: Path | None = None
    """Where HOME and TMPDIR of each command are made and deleted; the system's own otherwise."""
    level: str = "landlock"

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        """See Sandbox."""
        return await _run(command, self.scratch, stop, self.level, confined=True)


@dataclass(frozen=True, slots=True)
class BwrapSandbox:
    """Namespaces of its own by bubblewrap, with seccomp and rlimits: only granted paths exist.

    Needs `bwrap` and user namespaces, which restricted pods and chroots do not have.
    """

    scratch: Path | None = None
    level: str = "bwrap"

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        """See Sandbox. What cannot be started ends with exit code 1, and bwrap says why."""
        return await _run(command, self.scratch, stop, self.level, confined=True, wrap=True)


@dataclass(frozen=True, slots=True)
class NoSandbox:
    """No isolation: limits, the wall clock and the end of all processes, and nothing else."""

    scratch: Path | None = None
    level: str = "none"

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        """See Sandbox."""
        return await _run(command, self.scratch, stop, self.level, confined=False)


def make_root(path: Path) -> Path:
    """A folder for workspaces that a command's user can pass but not list; parents too."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o711)
            folder.chmod(0o711)  # whatever the umask is
    return path


async def _run(
    command: Command,
    scratch: Path | None,
    stop: asyncio.Event | None,
    level: str,
    *,
    confined: bool,
    wrap: bool = False,
) -> Completed:
    if stop is not None and stop.is_set():
        return Completed(None, None, Excerpt(), Excerpt(), 0.0, 0.0, 0, "stopped", level)
    if not command.argv:
        raise ValueError("argv is empty: there is nothing to run")
    base = (scratch or Path(tempfile.gettempdir())).resolve()
    folder = base / f"loopwright-{secrets.token_hex(8)}"
    confinement = _confinement(command, folder) if confined else None
    if confinement is not None and wrap:
        confinement["wrapper"] = bwrap.wrapper(confinement["rules"], command.cwd)
    spec = _spec(command, folder, confinement)
    if wrap:
        spec["rlimits"]["processes"] += bwrap.PROCESSES
    return await Run(command, level).to_the_end(spec, _filter_for, stop)


def _spec(command: Command, scratch: Path, confinement: Confinement | None) -> Spec:
    limits = command.limits
    env = {
        "PATH": paths.search_path(),
        "HOME": f"{scratch}/home",
        "TMPDIR": f"{scratch}/tmp",  # noqa: S108 - in a folder of its own
        "LANG": "C.UTF-8",
        # git ends with an error when /etc/gitconfig is there and may not be read.
        "GIT_CONFIG_NOSYSTEM": "1",
        **command.env,
    }
    return {
        "service_pid": os.getpid(),
        "argv": list(command.argv),
        "cwd": str(command.cwd),
        "env": env,
        "writable": [str(folder) for folder in paths.outermost(command.writable)],
        "scratch": str(scratch),
        "rlimits": {
            # The supervisor ends it at cpu_s; the kernel a little later, should it fail to.
            "cpu_s": int(limits.cpu_s) + 2,
            "address_space": limits.address_space_bytes or limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "open_files": limits.open_files,
            "processes": limits.processes,
        },
        "wall_s": limits.wall_s,
        "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_bytes,
        "disk_bytes": limits.disk_bytes,
        "confinement": confinement,
    }


def _confinement(command: Command, scratch: Path) -> Confinement:
    abi = landlock.abi()
    if abi == 0:
        raise SandboxUnavailableError("this kernel has no Landlock, or it is switched off")
    if platform.machine() not in seccomp.MACHINES:
        raise SandboxUnavailableError(f"no filter is written for {platform.machine()} machines")
    return {
        "handled": landlock.handled(abi),
        "rules": paths.rules(command, scratch),
        "wrapper": [],
        "seccomp": b"",
    }


def _filter_for(supervisor: int) -> bytes:
    machine = cast("seccomp.Machine", platform.machine())
    shielded = {supervisor, os.getpid(), os.getpgrp()} - {0}
    rules = seccomp.rules_for(shielded, landlock_abi=landlock.abi())
    return seccomp.assemble(machine, rules)
