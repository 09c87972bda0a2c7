"""A backup of a running bus, put back into another: the loops in it go on from there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nats
import pytest

from installation import COMMAND
from line import Line, kinds
from loopwright import subjects
from loopwright.backup import ORDER, BackupError, restore, save
from loopwright.direct import Stored
from loopwright.objects import NatsObjects
from loopwright.service.bus import Bus
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declarations, declare
from loopwright.testing import playbook_goal
from servers import Server, nats_server


async def log_of(bus: Bus) -> list[Stored]:
    return [item async for item in bus.read(subjects.LOOPS, "loop.>", 1)]


async def test_loops_of_a_backup_go_on_in_another_bus(
    line: Line, bus: Bus, settings: ServiceSettings, tmp_path: Path
) -> None:
    line.script.passed = [("a", "b")]
    line.coordinator()
    await line.work("planner", "executor")
    ended = await line.start(playbook_goal())
    waiting = (await line.events(ended, "verification_requested"))[-1].subject
    copied = await save(bus.nc, tmp_path / "copy")
    assert {item.stream for item in copied} >= {subjects.LOOPS, subjects.CLAIMS, subjects.TIMERS}
    line.stop.set()
    await asyncio.gather(*line.tasks)
    before = await log_of(bus)

    with nats_server(tmp_path / "other") as server:
        other = Bus(await nats.connect(server.url), timeout_s=2.0)
        restored = await restore(other.nc, tmp_path / "copy")
        assert restored == copied
        assert [(item.seq, item.body) for item in await log_of(other)] == [
            (item.seq, item.body) for item in before
        ]
        await declare(other.js, settings)  # as the provisioning does, over what was restored
        objects = NatsObjects(await other.js.object_store(subjects.OBJECTS))
        there = Line(other, objects, settings, script=line.script)
        there.coordinator()
        await there.work()
        events = await there.events(waiting)
        assert kinds(events)[-2:] == ["verification_requested", "loop_ended"]
        assert events[-1].data.kind == "loop_ended"
        assert (await there.loop(waiting)).ended == "achieved"
        with pytest.raises(BackupError, match=r"LOOPS.* already; restore into an empty bus"):
            await restore(other.nc, tmp_path / "copy")
        there.stop.set()
        await asyncio.gather(*there.tasks)
        await other.nc.close()


def test_a_backup_holds_every_stream_and_what_the_log_leads_to_after_it() -> None:
    declared = {item.stream.name for item in declarations(ServiceSettings())}
    assert set(ORDER) == declared | {f"OBJ_{subjects.OBJECTS}"}
    log = ORDER.index(subjects.LOOPS)
    assert set(ORDER[:log]) == {subjects.GOALS, subjects.CONTROL, subjects.RESULTS}


async def test_a_backup_that_is_not_whole_is_refused(
    bus: Bus, nats_process: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    backup = await asyncio.create_subprocess_exec(
        COMMAND, "backup", str(folder), env={**os.environ, "LOOPWRIGHT_NATS_URL": nats_process.url}
    )
    assert await backup.wait() == 0
    with pytest.raises(BackupError, match="is not empty"):
        await save(bus.nc, folder)
    with nats_server(tmp_path / "other") as server:
        nc = await nats.connect(server.url)
        with (folder / "LOOPS.snapshot").open("r+b") as file:
            file.write(b"?")
        with pytest.raises(BackupError, match=r"LOOPS\.snapshot is not what was written"):
            await restore(nc, folder)
        (folder / "backup.json").unlink()
        with pytest.raises(BackupError, match="no whole backup"):
            await restore(nc, folder)
        assert (await nc.jetstream().account_info()).streams == 0
        await nc.close()
