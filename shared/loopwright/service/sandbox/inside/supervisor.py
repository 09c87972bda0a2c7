"""One command from its folders to its end; the program that the service starts.

It outlives nobody: when the service dies, by whatever signal, the control pipe ends and PDEATHSIG
arrives, and all that the command started is killed before the supervisor goes.
"""

# ruff: noqa: PTH102
from __future__ import annotations

import marshal
import os
import resource
import select
import signal

from . import confine, folders, identity, kernel, reveal, tree
from .watch import Watch, cpu_of_the_dead_s

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing is slow to load
    from .spec import Report, Spec

#: What the control pipe may say; its end says that the service is gone.
TOLD = {b"s": "stopped", b"o": "output", b"w": "wall", b"": "stopped"}
#: Said on the report pipe before the report: the command runs; nothing of it runs any more.
BEGUN, ENDED = b"B", b"E"

_SCOPE_SIGNAL = 0b10


def main(control: int, spec: int, report: int, stdio: tuple[int, int, int]) -> None:
    """Wait for the word to go, run the command, report."""
    if not os.read(control, 1):
        return
    with os.fdopen(spec, "rb") as file:
        file.seek(0)
        supervisor = Supervisor(marshal.load(file), control, report, stdio)  # noqa: S302
    try:
        answer = supervisor.run()
    except OSError as error:
        answer = _failure(str(error))
    except Exception:
        import traceback  # slow to load, and seldom needed

        answer = _failure(traceback.format_exc())
    os.write(report, marshal.dumps(answer))  # type: ignore[arg-type]  # a dict


class Supervisor:
    """Runs one command and answers for everything that it leaves behind."""

    def __init__(self, spec: Spec, control: int, report: int, stdio: tuple[int, int, int]) -> None:
        self._spec = spec
        self._control = control
        self._report = report
        self._stdio = stdio
        self._roots = [*spec["writable"], spec["scratch"]]
        confined = spec["confinement"] is not None
        self._uid = identity.free_uid() if confined and os.geteuid() == 0 else None

    def run(self) -> Report:
        """Lend the folders, run, end all, take the folders back."""
        self._tie_to_service()
        self._make_scratch()
        try:
            before = self._lend()
            report = self._run_to_the_end(before)
        finally:
            try:
                after = self._take_back()
            finally:
                folders.remove(self._spec["scratch"])
        if report["killed_by"] is None and after - before > self._spec["disk_bytes"]:
            report["killed_by"] = "disk"
        return report

    def _tie_to_service(self) -> None:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self._spec["service_pid"]:
            raise OSError("the service is gone")

    def _make_scratch(self) -> None:
        for folder in ("", "/home", "/tmp"):  # noqa: S108
            os.mkdir(self._spec["scratch"] + folder, 0o700)

    def _lend(self) -> int:
        """Make the folders the command's; how much they hold."""
        if self._uid is None:
            return self._take_back()
        size = sum(folders.lend(root, self._uid) for root in self._roots)
        for stream in self._stdio[1:]:
            os.fchown(stream, self._uid, self._uid)  # so that /dev/stdout can be opened
        if self._spec["confinement"] is not None:
            reveal.reveal([path for path, _ in self._spec["confinement"]["rules"]])
        return size

    def _take_back(self) -> int:
        return sum(folders.take_back(root, self._uid) for root in self._roots)

    def _run_to_the_end(self, disk_before: int) -> Report:
        wakeups = _wakeups()
        reaper = tree.Reaper(uid=self._uid, scoped=self._signals_are_scoped())
        dead = tree.Dead(self._start())
        watch = Watch(self._spec, self._roots, disk_before)
        try:
            os.write(self._report, BEGUN)
            killed_by = self._wait(dead, watch, wakeups)
        finally:
            reaper.end_all(dead)
        os.write(self._report, ENDED)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "failed": None,
            "status": dead.status or 0,
            "killed_by": killed_by or self._ended_by_cpu_limit(dead.status or 0),
            "duration_s": watch.duration_s,
            "cpu_s": cpu_of_the_dead_s(),
            "max_rss_bytes": max(watch.peak_bytes, used.ru_maxrss * 1024),
        }

    def _signals_are_scoped(self) -> bool:
        """Enter a domain out of which none of our signals gets; whether that is proven.

        The command's own domain lies within it, so it can be killed from here and not the other
        way round. The service has our user id, so only the domain can make kill fail.
        """
        confinement = self._spec["confinement"]
        service = self._spec["service_pid"]
        if self._uid or confinement is None or not confinement["handled"][2] & _SCOPE_SIGNAL:
            return False
        os.kill(service, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.landlock_restrict(kernel.landlock_ruleset((0, 0, _SCOPE_SIGNAL)))
        try:
            os.kill(service, 0)
        except PermissionError:
            return os.getppid() == service
        return False

    def _start(self) -> int:
        """The command's pid; raises OSError if it could not be confined."""
        told, tell = os.pipe()
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                tell = confine.only_stdio(self._stdio, tell)
                confine.become(self._spec, self._uid, supervisor)
            except BaseException as error:
                os.write(tell, str(error).encode() or b"unknown")
            finally:
                os._exit(confine.NOT_ALLOWED)
        for descriptor in (tell, *self._stdio):
            os.close(descriptor)
        with os.fdopen(told, "rb") as pipe:
            complaint = pipe.read().decode(errors="replace")
        if complaint:
            os.waitpid(child, 0)
            raise OSError(complaint)
        return child

    def _wait(self, dead: tree.Dead, watch: Watch, wakeups: int) -> str | None:
        """Wait for the command's end, or for a reason to end it."""
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(wakeups, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll(watch.pause_s() * 1000 + 1):
                word = os.read(descriptor, 512)
                if descriptor == self._control:
                    return TOLD[word[:1]]
                if signal.SIGTERM in word:
                    return "stopped"
            dead.collect()
            if dead.status is not None:
                return None
            if passed := watch.passed_limit():
                return passed

    def _ended_by_cpu_limit(self, status: int) -> str | None:
        """RLIMIT_CPU is the second line: it ends a process with one of two signals."""
        if not os.WIFSIGNALED(status) or cpu_of_the_dead_s() < self._spec["cpu_s"]:
            return None
        return "cpu" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else None


def _wakeups() -> int:
    """A descriptor that can be read when a child died or SIGTERM came."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return readable


def _failure(sentence: str) -> Report:
    return {
        "failed": sentence,
        "status": 0,
        "killed_by": None,
        "duration_s": 0.0,
        "cpu_s": 0.0,
        "max_rss_bytes": 0,
    }
