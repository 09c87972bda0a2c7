"""A service's cache does not grow without end, and nothing that is in use goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loopwright.ids import new_loop_id
from loopwright.objects import MemoryObjects
from loopwright.service.tidy import keep_small
from loopwright.workspace import Workspaces
from waiting import until


async def test_workspaces_beyond_the_size_leave_the_cache_and_come_back(tmp_path: Path) -> None:
    workspaces, stop = Workspaces(tmp_path, MemoryObjects()), asyncio.Event()
    made = {}
    for loop in [new_loop_id() for _ in range(3)]:
        made[loop] = (await workspaces.create(loop, {"a.txt": loop})).revision
    used, *others = made
    async with workspaces.checkout(used, made[used]):
        task = asyncio.create_task(keep_small(workspaces, 1, stop, every_s=0.01))

        async def small() -> bool:
            return not any((tmp_path / "repositories" / loop).exists() for loop in others)

        await until(small)
        stop.set()
        await task
    for loop, revision in made.items():
        assert await workspaces.read(loop, revision, "a.txt") == loop.encode()


async def test_a_service_that_stops_does_not_wait_for_the_next_look(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    await keep_small(Workspaces(tmp_path, MemoryObjects()), 1, stop)
