"""What a sandbox is asked to run and what it answers: plain data, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

KilledBy = Literal["wall", "cpu", "memory", "output", "disk", "stopped"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use; a limit that is passed ends the command and all it started."""

    wall_s: float = 60.0
    cpu_s: float = 60.0
    """CPU time of the whole tree."""
    memory_bytes: int = 1024 * _MIB
    """Address space of each process, and resident memory of the tree (polled)."""
    address_space_bytes: int | None = None
    """Address space, where that is to be more than the memory."""
    processes: int = 64
    """Processes and threads that may exist at once; one more fails with EAGAIN."""
    file_bytes: int = 256 * _MIB
    """Largest file that can be written."""
    output_bytes: int = 4 * _MIB
    """Stdout and stderr together."""
    excerpt_bytes: int = 16 * 1024
    """What is kept of each stream: half from its beginning, half from its end."""
    open_files: int = 256
    disk_bytes: int = 512 * _MIB
    """Growth of the writable folders (polled, and measured at the end)."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run. Folders are absolute paths; one command at a time may write to a folder."""

    argv: tuple[str, ...]
    cwd: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to PATH, HOME, TMPDIR and LANG, which are all that a command gets by itself."""
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning and the end of a stream."""

    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0

    @property
    def left_out_bytes(self) -> int:
        """How much of the middle was not kept."""
        return self.total_bytes - len(self.head) - len(self.tail)

    def text(self) -> str:
        """The stream as text; what is not UTF-8 is replaced, what was left out is counted."""
        if not self.left_out_bytes:
            return (self.head + self.tail).decode(errors="replace")
        gap = f"\n… {self.left_out_bytes} bytes left out …\n"
        return self.head.decode(errors="replace") + gap + self.tail.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. Nothing that it started is alive any more."""

    exit_code: int | None
    """As a shell would say it (128 + signal, 127 not found, 126 not allowed); None if killed_by."""
    signal: int | None
    stdout: Excerpt
    stderr: Excerpt
    duration_s: float
    cpu_s: float
    max_rss_bytes: int
    """Highest resident memory seen: of the tree when polled, of a single process otherwise."""
    killed_by: KilledBy | None
    isolation: str
    """Level of the sandbox that ran it: "landlock" or "none"."""


class SandboxUnavailableError(Exception):
    """Nothing was run: the isolation that was asked for cannot be had here."""
