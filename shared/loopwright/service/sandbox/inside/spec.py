"""What the service tells the supervisor; it travels by marshal between two like interpreters."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing's import would cost a third of the start-up
    from typing import TypedDict

    class Rlimits(TypedDict):
        """Limits that the kernel enforces on each process."""

        cpu_s: int
        address_space: int
        file_bytes: int
        open_files: int
        processes: int

    class Confinement(TypedDict):
        """How the command is kept in; absent for the level "none"."""

        handled: tuple[int, int, int]
        """Landlock's file rights, network rights and scopes."""
        rules: list[tuple[str, int]]
        """Each granted path with its rights."""
        wrapper: list[str]
        """A command line that shuts the command in and loads the filter from `confine.FILTER_FD`,
        in place of Landlock, which would not let it mount; empty where Landlock does it."""
        seccomp: bytes
        """The filter, as an array of struct sock_filter."""

    class Spec(TypedDict):
        """One command."""

        service_pid: int
        argv: list[str]
        cwd: str
        env: dict[str, str]
        writable: list[str]
        scratch: str
        """A folder that does not exist yet; holds HOME and TMPDIR and goes with the command."""
        rlimits: Rlimits
        wall_s: float
        cpu_s: float
        memory_bytes: int
        disk_bytes: int
        confinement: Confinement | None

    class Report(TypedDict):
        """How it went; `failed` is a sentence when the command was never started."""

        failed: str | None
        status: int
        """As wait(2) gives it."""
        killed_by: str | None
        duration_s: float
        cpu_s: float
        max_rss_bytes: int
