"""Which paths a sandboxed command sees, and which it may never be given to write."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from loopwright.service.sandbox import landlock
from loopwright.service.sandbox.command import Command

Rules = list[tuple[str, int]]

#: Programs and their libraries; of /etc only what programs cannot do without, and no secrets.
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload",
    "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone",
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/ca-certificates",
    "/etc/alternatives", "/etc/mime.types", "/etc/magic", "/etc/os-release", "/etc/debian_version",
)  # fmt: skip
#: The command's own: DuckDB takes the lack of leave to read it for a fault of its own and aborts.
#: It means the process that is started and not its children, so DuckDB works as the command itself
#: (as in the verifier's inspector) and not below a shell.
OWN = ("/proc/self/cgroup",)
#: Nothing else of /proc: it shows the command lines of all processes, and what programs need of it
#: (/proc/self/fd behind /dev/stdout) are links, which Landlock lets be followed.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"


@lru_cache(maxsize=1)
def for_every_command() -> tuple[tuple[str, int], ...]:
    """The machine's programs, this Python, and the harmless devices."""
    programs = [path for path in SYSTEM if Path(path).exists()]
    program = Path(sys.executable).resolve()
    pythons = [str(path) for path in (*python_homes(), program) if not path.is_relative_to("/usr")]
    own = [path for path in OWN if Path(path).exists()]
    read = [(path, landlock.READ) for path in (*programs, *pythons, *own)]
    return (*read, *((path, landlock.DEVICE) for path in DEVICES if Path(path).exists()))


def python_homes() -> tuple[Path, ...]:
    """This interpreter's installation and its virtual environment, with links resolved too."""
    homes = [Path(sys.prefix), Path(sys.base_prefix)]
    every = [*homes, *(home.resolve() for home in homes)]
    # An embedded interpreter may name the root, which must not be granted.
    return tuple(dict.fromkeys(home for home in every if home != Path("/")))


def rules(command: Command, scratch: Path) -> Rules:
    """Every granted path with its rights."""
    writable = [(str(path), landlock.WRITE) for path in (*outermost(command.writable), scratch)]
    readable = [(str(path.resolve(strict=True)), landlock.READ) for path in command.readable]
    return [*for_every_command(), *readable, *writable]


def outermost(folders: tuple[Path, ...]) -> list[Path]:
    """The folders, resolved, without those that lie in another of them. ValueError if unfit."""
    resolved = list(dict.fromkeys(folder.resolve() for folder in folders))
    for folder in resolved:
        _require_harmless(folder)
    return [a for a in resolved if not any(a != b and a.is_relative_to(b) for b in resolved)]


def search_path() -> str:
    """PATH for a command: this environment's programs first."""
    return f"{Path(sys.prefix) / 'bin'}:{_FALLBACK_PATH}"


def _require_harmless(folder: Path) -> None:
    """Writable folders change hands with all that is in them; no system folder may."""
    if not folder.is_dir():
        raise ValueError(f"writable: {folder} is not a folder")
    kept = [*map(Path, ("/usr", "/etc", "/bin", "/lib", "/dev", "/proc", "/sys", "/var", "/root"))]
    for path in (*kept, *python_homes(), Path(__file__).parent):
        if path.is_relative_to(folder):
            raise ValueError(f"writable: {folder} holds {path}, which no command may write to")
    if folder.is_relative_to("/usr") or folder.is_relative_to("/etc"):
        raise ValueError(f"writable: {folder} is a part of the system")
