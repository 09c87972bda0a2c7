"""Locks between processes and tasks: the kernel lets go of them when a process dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

from loopwright.workspace.errors import WorkspaceBusyError

#: Seconds to wait for somebody else, and between looks. Looking, as waiting would take a thread.
LOCK_S = 60.0
_LOOK_S = 0.01

SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX


@asynccontextmanager
async def held(path: Path, kind: int) -> AsyncIterator[None]:
    """Hold the lock file SHARED or ALONE; raises WorkspaceBusyError after LOCK_S."""
    until = monotonic() + LOCK_S
    with lock_file(path) as file:
        while not try_lock(file, kind):
            if monotonic() > until:
                raise WorkspaceBusyError(
                    f"{path} is locked by another process for more than {LOCK_S:g} s"
                )
            await asyncio.sleep(_LOOK_S)
        yield


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """The descriptor of a lock file; closing it lets go of the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def try_lock(file: int, kind: int) -> bool:
    """Take the lock if nobody else has it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
