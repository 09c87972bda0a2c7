"""The service's side of one command: starts the supervisor, reads the output, passes on a stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import marshal
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from loopwright.service.sandbox.command import (
    Command,
    Completed,
    Excerpt,
    KilledBy,
    SandboxUnavailableError,
)

if TYPE_CHECKING:
    from loopwright.service.sandbox.inside.spec import Report, Spec

#: What the supervisor may take beyond the wall clock to end everything, in seconds; then it is
#: taken for stuck and killed itself, which kills the command with it.
PATIENCE_S = 10.0
_CHUNK_BYTES = 64 * 1024
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

#: `-c` and an import, so that the modules come from the byte code cache; a script never does.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside.supervisor import main;"
    "n = [int(word) for word in sys.argv[2:]]; main(n[0], n[1], n[2], (n[3], n[4], n[5]))"
)


#: The seccomp filter for a command whose supervisor has this pid.
FilterFor = Callable[[int], bytes]


class Recorder:
    """Keeps the beginning and the end of a stream in bounded memory."""

    def __init__(self, excerpt_bytes: int) -> None:
        self._head_room = excerpt_bytes // 2
        self._tail_room = excerpt_bytes - self._head_room
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.total_bytes = 0

    def add(self, chunk: bytes) -> None:
        """The stream's next bytes."""
        self.total_bytes += len(chunk)
        fits = self._head_room - len(self._head)
        self._head += chunk[:fits]
        rest = chunk[fits:]
        if rest:
            self._tail.append(rest[-self._tail_room :] if self._tail_room else b"")
            self._tail_bytes += len(self._tail[-1])
        while self._tail and self._tail_bytes - len(self._tail[0]) >= self._tail_room:
            self._tail_bytes -= len(self._tail.popleft())

    def excerpt(self) -> Excerpt:
        """What was kept."""
        tail = b"".join(self._tail)[-self._tail_room :] if self._tail_room else b""
        return Excerpt(bytes(self._head), tail, self.total_bytes)


class _Stream:
    """A pipe that is read as it fills."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._source, self.sink = os.pipe()
        self.ended = self._loop.create_future()
        os.set_blocking(self._source, False)
        self._loop.add_reader(self._source, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._source, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._take(chunk)
        else:
            self.close()

    def close(self) -> None:
        """Read no more."""
        if not self.ended.done():
            self._loop.remove_reader(self._source)
            os.close(self._source)
            self.ended.set_result(None)


class Run:
    """One command on its way."""

    def __init__(self, command: Command, isolation: str) -> None:
        self._limits = command.limits
        self._isolation = isolation
        self._stdin = command.stdin
        self._stdout = Recorder(self._limits.excerpt_bytes)
        self._stderr = Recorder(self._limits.excerpt_bytes)
        self._said = bytearray()
        self._flooded = False
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._control = -1

    async def to_the_end(
        self, spec: Spec, filter_for: FilterFor, stop: asyncio.Event | None
    ) -> Completed:
        """Run it. When this returns or raises, nothing of the command is alive."""
        streams = [_Stream(take) for take in (self._on_report, self._on_out, self._on_err)]
        sinks = [stream.sink for stream in streams]
        control, self._control = os.pipe()
        try:
            supervisor = await self._spawn(control, sinks, spec, filter_for)
            try:
                await self._attend(supervisor, stop)
            finally:
                self._hang_up()
                await supervisor.wait()
            await self._expect_silence(streams)
        finally:
            self._hang_up()
            for stream in streams:
                stream.close()
        return self._completed()

    async def _spawn(
        self, control: int, sinks: list[int], spec: Spec, filter_for: FilterFor
    ) -> asyncio.subprocess.Process:
        """Start the supervisor and give it its order; the filter shields the supervisor's pid."""
        order = os.memfd_create("order")
        report, out, err = sinks
        stdin = _read_only(self._stdin)
        passed = (control, order, report, stdin, out, err)
        try:
            supervisor = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", _START,
                str(Path(__file__).parent), *map(str, passed),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                pass_fds=passed, start_new_session=True, env={}, cwd="/",
            )  # fmt: skip
            if spec["confinement"] is not None:
                spec["confinement"]["seccomp"] = filter_for(supervisor.pid)
            os.write(order, marshal.dumps(cast("Any", spec)))
        finally:
            for descriptor in passed:
                os.close(descriptor)
        self._tell(b"g")
        return supervisor

    async def _attend(
        self, supervisor: asyncio.subprocess.Process, stop: asyncio.Event | None
    ) -> None:
        """Until all that ran is dead."""
        ended = asyncio.ensure_future(self._ended.wait())
        gone = asyncio.ensure_future(supervisor.wait())
        watchers = [asyncio.ensure_future(self._enforce_wall(supervisor))]
        if stop is not None:
            watchers.append(asyncio.ensure_future(self._pass_on(stop)))
        try:
            await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, gone, *watchers):
                task.cancel()
            await asyncio.gather(ended, gone, *watchers, return_exceptions=True)

    async def _expect_silence(self, streams: list[_Stream]) -> None:
        """The pipes end with the last process; if not, the supervisor was killed from outside."""
        _, open_still = await asyncio.wait([stream.ended for stream in streams], timeout=5.0)
        if open_still:
            raise SandboxUnavailableError(
                "the sandbox's supervisor was killed (out of memory?) and left processes behind; "
                "they hold the command's output open"
            )

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._tell(b"s")

    async def _enforce_wall(self, supervisor: asyncio.subprocess.Process) -> None:
        """The supervisor keeps the time; this is for one that does not."""
        await self._begun.wait()
        await asyncio.sleep(self._limits.wall_s + PATIENCE_S / 2)
        self._tell(b"w")
        await asyncio.sleep(PATIENCE_S / 2)
        with contextlib.suppress(ProcessLookupError):
            supervisor.kill()

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            if self._control >= 0:
                os.write(self._control, word)

    def _hang_up(self) -> None:
        """The end of the control pipe: the supervisor kills all and goes."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def _on_report(self, chunk: bytes) -> None:
        self._said += chunk
        if self._said[:1] == b"B":
            self._begun.set()
        if self._said[:2] == b"BE":
            self._ended.set()

    def _on_out(self, chunk: bytes) -> None:
        self._stdout.add(chunk)
        self._check_flood()

    def _on_err(self, chunk: bytes) -> None:
        self._stderr.add(chunk)
        self._check_flood()

    def _check_flood(self) -> None:
        total = self._stdout.total_bytes + self._stderr.total_bytes
        if total > self._limits.output_bytes and not self._flooded:
            self._flooded = True
            self._tell(b"o")

    def _completed(self) -> Completed:
        report = self._report()
        killed_by = "output" if self._flooded else report["killed_by"]
        status = report["status"]
        signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.waitstatus_to_exitcode(status)
        return Completed(
            exit_code=None if killed_by else code if signal is None else 128 + signal,
            signal=signal,
            stdout=self._stdout.excerpt(),
            stderr=self._stderr.excerpt(),
            duration_s=report["duration_s"],
            cpu_s=report["cpu_s"],
            max_rss_bytes=report["max_rss_bytes"],
            killed_by=cast("KilledBy | None", killed_by),
            isolation=self._isolation,
        )

    def _report(self) -> Report:
        body = bytes(self._said).removeprefix(b"B").removeprefix(b"E")
        if not body:
            raise SandboxUnavailableError(
                "the sandbox's supervisor ended without a report; "
                "its last words are in the service's stderr"
            )
        report = cast("Report", marshal.loads(body))  # noqa: S302 - from our own supervisor
        if report["failed"] is not None:
            raise SandboxUnavailableError(f"the sandbox failed: {report['failed']}")
        return report


def _read_only(content: bytes) -> int:
    """A descriptor to read `content` from, which none can write to."""
    if not content:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.memfd_create("stdin", os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor
