"""The processes below the supervisor: finding them, what they use, ending them all."""

# ruff: noqa: PTH110, PTH116, PTH123, PTH208
from __future__ import annotations

import os
import signal
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing is slow to load
    from collections.abc import Callable, Iterator

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: Positions in /proc/<pid>/stat, counted after the name in brackets.
_PARENT, _TIMES, _RSS = 1, slice(11, 15), 21

#: Needs CONFIG_PROC_CHILDREN, which nearly all kernels have.
_CHILDREN = "/proc/{0}/task/{0}/children"


class Usage:
    """What the live processes use at one moment."""

    __slots__ = ("cpu_s", "memory_bytes", "unlinked_disk_bytes")

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.memory_bytes = 0
        self.unlinked_disk_bytes = 0


def usage(disks: set[int]) -> Usage:
    """Sum over all descendants; files without a name count where they are kept.

    A file that was deleted while open, or a memfd, is seen by no walk and in nobody's RSS.
    """
    total = Usage()
    seen: set[tuple[int, int]] = set()
    for pid in descendants():
        fields = _stat(pid)
        if fields is None:
            continue
        total.cpu_s += sum(map(int, fields[_TIMES])) / _TICKS_PER_S
        total.memory_bytes += int(fields[_RSS]) * _PAGE_BYTES
        for status in _open_files(pid):
            key = (status.st_dev, status.st_ino)
            if status.st_nlink or key in seen:
                continue
            seen.add(key)
            if status.st_dev in disks:
                total.unlinked_disk_bytes += status.st_blocks * 512
            else:
                total.memory_bytes += status.st_blocks * 512
    return total


def descendants() -> list[int]:
    """All processes below this one, the nearest first."""
    children = _children if os.path.exists(_CHILDREN.format(os.getpid())) else _by_parent()
    found = children(os.getpid())
    for pid in found:  # grows while it is read
        found.extend(children(pid))
    return found


class Reaper:
    """Ends every descendant, also one that made a session of its own or keeps on forking.

    Killing one by one loses against a process that forks and exits faster than it can be found.
    kill(-1) does not: the kernel goes through all processes with fork locked out. It is used
    where its reach is bounded: by a user id that only this command has, or by a Landlock domain
    out of which no signal gets.
    """

    def __init__(self, *, uid: int | None, scoped: bool) -> None:
        self._uid = uid
        self._scoped = scoped and uid is None and os.geteuid() != 0

    def end_all(self, dead: Dead) -> None:
        """Kill until there are none; returns when the last one is reaped."""
        while dead.collect():
            self._sweep()
            time.sleep(0.001)

    def _sweep(self) -> None:
        if self._uid is not None:
            self._sweep_user(self._uid)
        elif self._scoped:
            _kill(-1)
        for pid in descendants():
            _kill(pid)

    def _sweep_user(self, uid: int) -> None:
        helper = os.fork()
        if helper:
            os.waitpid(helper, 0)
            return
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            if os.getresuid() == (uid, uid, uid) and uid != 0:
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)


class Dead:
    """Collects exit statuses, of the command and of the orphans that came to us."""

    def __init__(self, watched: int) -> None:
        self._watched = watched
        self.status: int | None = None
        """Of the watched process, once it ended."""

    def collect(self) -> bool:
        """Reap all that ended; whether any process is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._watched:
                    self.status = status
        except ChildProcessError:
            return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # ended meanwhile
        return


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(map(int, file.read().split()))
    except OSError:  # it ended meanwhile
        pass
    return found


def _by_parent() -> Callable[[int], list[int]]:
    """The same from one look at all processes."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            below.setdefault(int(fields[_PARENT]), []).append(int(name))
    return lambda pid: below.get(pid, [])


def _open_files(pid: int) -> Iterator[os.stat_result]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it ended, or root without CAP_SYS_PTRACE
        return
    for name in names:
        try:
            status = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield status
