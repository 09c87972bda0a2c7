"""A child process: started so that it dies with us, its output in a log, its probe to ask."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

#: A log that is longer when its child starts is put aside, and the one before it is dropped.
LOG_BYTES = 16 * 1024 * 1024
#: Waiting times before a child that died is started again, in seconds; the last one repeats.
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
#: A child that lived this long has forgotten that it died before.
HEALTHY_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run, and how to know that it is up."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    is_up: Callable[[], Awaitable[bool]]
    stop_s: float = 10.0
    """How long it may take to end after SIGTERM."""


@dataclass(slots=True)
class Child:
    """One supervised process."""

    spec: Spec
    log: Path
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0
    started_at: float = 0.0

    async def start(self) -> None:
        """Start the process with its own session and its output in the log."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=dict(self.spec.env),
                start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()),
            )
        self.started_at = monotonic()

    async def watch(self, stopping: asyncio.Event, say: Callable[[str], None]) -> None:
        """Start the process again whenever it dies, slower each time, until stopping."""
        while not stopping.is_set():
            assert self.process is not None
            code = await self.process.wait()
            if stopping.is_set():
                return
            if monotonic() - self.started_at > HEALTHY_S:
                self.deaths = 0
            wait = BACKOFF_S[min(self.deaths, len(BACKOFF_S) - 1)]
            self.deaths += 1
            say(
                f"{self.spec.name} ended with {code}; started again in {wait:g} s (log: {self.log})"
            )
            try:
                await asyncio.wait_for(stopping.wait(), wait)
            except TimeoutError:
                await self.start()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to its session when it takes too long."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_s)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """What the child does before its program starts: ask the kernel to end it with its parent."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask
