"""The processes of a measured system: started, ready, what they used, ended. Linux only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from loopwright_cli.runtime.children import Child, Spec

#: Everything must be up within this, in seconds.
UP_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used since it started, and what it holds now."""

    cpu_s: float
    rss_kb: int


@dataclass(frozen=True, slots=True)
class Program:
    """What to run under which name; ready when the file `ready` is there."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Path


def used(pid: int) -> Used:
    """What the kernel has counted for a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return Used(ticks / _TICKS, int(fields[21]) * _PAGE_KB)


@asynccontextmanager
async def running(programs: Sequence[Program], logs: Path) -> AsyncIterator[dict[str, int]]:
    """All programs up, as name → process id; all ended in the end."""
    logs.mkdir(parents=True, exist_ok=True)
    children = [Child(_spec(program), logs / f"{program.name}.log") for program in programs]
    try:
        for child in children:
            await child.start()
        until = monotonic() + UP_S
        for program, child in zip(programs, children, strict=True):
            await _up(program, child, until)
        yield {child.spec.name: _pid(child) for child in children}
    finally:
        await asyncio.gather(*(child.stop() for child in children))


async def _up(program: Program, child: Child, until: float) -> None:
    while not program.ready.exists() or '"ready"' not in program.ready.read_text():
        assert child.process is not None
        if child.process.returncode is not None or monotonic() > until:
            raise RuntimeError(f"{program.name} is not up within {UP_S:g} s:\n{child.tail()}")
        await asyncio.sleep(0.05)


def _spec(program: Program) -> Spec:
    async def never_asked() -> bool:
        return True

    return Spec(program.name, tuple(program.argv), program.env, never_asked)


def _pid(child: Child) -> int:
    assert child.process is not None
    return child.process.pid
