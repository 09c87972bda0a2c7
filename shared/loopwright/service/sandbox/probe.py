"""Which sandbox can be had on this machine, found by trying it."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loopwright.service.sandbox import attempts, landlock
from loopwright.service.sandbox.backends import (
    BwrapSandbox,
    LandlockSandbox,
    NoSandbox,
    Sandbox,
)
from loopwright.service.sandbox.command import (
    Command,
    Completed,
    Limits,
    SandboxUnavailableError,
)

_ALLOWED = ("write inside the workspace",)
_DENIED = (
    "write outside the workspace",
    "read a file outside",
    "connect over TCP",
    "open a UDP socket",
    "connect to a unix socket",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found."""

    level: str
    """The isolation that was tried and works, "none" if it does not."""
    landlock_abi: int
    """0 where the kernel has no Landlock."""
    reasons: tuple[str, ...]
    """Why not "landlock", a sentence each; or what is weaker than it could be."""


async def probe(sandbox: Sandbox | None = None) -> Probe:
    """Run one command that tries what must work and what must not."""
    abi = landlock.abi()
    try:
        with _bait() as (folders, arguments):
            program = (*_python(), attempts.__file__, *arguments)
            command = Command(
                argv=program,
                cwd=folders[0],
                writable=folders,
                readable=(Path(attempts.__file__),),
                limits=Limits(wall_s=20.0),
            )
            faults = faults_of(await (sandbox or LandlockSandbox()).run(command))
    except (SandboxUnavailableError, OSError, ValueError) as error:
        return Probe("none", abi, (str(error),))
    if faults:
        return Probe("none", abi, faults)
    level = sandbox.level if sandbox is not None else "landlock"
    return Probe(level, abi, _weaknesses(abi) if level == "landlock" else ())


async def choose(allow_none: bool, best: Sandbox | None = None) -> Sandbox:
    """The best sandbox that works here; SandboxUnavailableError unless doing without is allowed."""
    wanted = best or LandlockSandbox()
    found = await probe(wanted)
    if found.level == wanted.level:
        return wanted
    if allow_none:
        return NoSandbox()
    raise SandboxUnavailableError(
        f"no sandbox works here, so no command is run: {'; '.join(found.reasons)}. "
        "Landlock needs Linux 5.13 and must not be filtered by the container; to run commands "
        "with limits and no isolation, set LOOPWRIGHT_SANDBOX_ALLOW_NONE=1"
    )


async def strong() -> Sandbox | None:
    """Bubblewrap, where it is installed and works; for goals whose `min_isolation` asks for it."""
    wanted = BwrapSandbox()
    return wanted if (await probe(wanted)).level == wanted.level else None


def faults_of(completed: Completed) -> tuple[str, ...]:
    """What the attempts show to be wrong, a sentence each."""
    said = dict(
        line.split("\t", 1) for line in completed.stdout.text().splitlines() if "\t" in line
    )
    if not said:
        ending = completed.killed_by or f"exit code {completed.exit_code}"
        return (f"the probe did not run ({ending}): {completed.stderr.text().strip()}",)
    not_allowed = [
        f"could not {name}: {said.get(name)}" for name in _ALLOWED if said.get(name) != "done"
    ]
    not_denied = [
        f"could {name}: {said.get(name)}" for name in _DENIED if said.get(name) != "denied"
    ]
    return (*not_allowed, *not_denied)


def _weaknesses(abi: int) -> tuple[str, ...]:
    missing = {
        3: f"Landlock ABI {abi} does not guard files against O_TRUNC; Linux 6.2 does",
        6: f"Landlock ABI {abi} does not keep signals in; Linux 6.12 does",
    }
    return tuple(sentence for since, sentence in missing.items() if abi < since)


def _python() -> tuple[str, ...]:
    return (sys.executable, "-I", "-S")


@contextmanager
def _bait() -> Iterator[tuple[tuple[Path, ...], list[str]]]:
    """A workspace and things outside it that only the sandbox stands before."""
    with (
        tempfile.TemporaryDirectory(prefix="loopwright-probe-") as root,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        top = Path(root)
        top.chmod(0o755)
        workspace, outside, secret = top / "workspace", top / "outside", top / "secret"
        for folder in (workspace, outside):
            folder.mkdir()
        outside.chmod(0o777)
        secret.write_text("x")
        secret.chmod(0o644)
        unix.bind(str(top / "socket"))
        (top / "socket").chmod(0o777)
        unix.listen()
        port = str(tcp.getsockname()[1])
        yield (workspace,), [*map(str, (workspace, outside, secret)), port, str(top / "socket")]
