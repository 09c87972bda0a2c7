"""Logs on a real server, what can be done to them behind its back, and what an audit says."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from durability.connection import connected, object_store
from durability.honest import play, write
from loopwright import subjects
from loopwright.audit import Head
from loopwright.client import Client
from loopwright.service.bus import Stored
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from loopwright_coordinator.log import Log
from servers import Server, nats_server

#: A clean stop writes an index beside the blocks, which the next start believes; a kill does not.
Stop = Literal["stopped", "killed"]
STOPS: tuple[Stop, ...] = ("stopped", "killed")


@dataclass(frozen=True)
class Recording:
    """The store of a server that is down, and the heads of the loops in it."""

    stores: dict[Stop, Path]
    heads: dict[str, list[Head]]
    messages: list[Stored]


async def record(folder: Path, loops: int = 3) -> Recording:
    """Let loops run on a server of their own and keep what it leaves on disk."""
    with nats_server(folder / "origin") as server:
        async with connected(server.url) as bus:
            await declare(bus.js, ServiceSettings())
            heads = await write(Log(bus, await object_store(bus), "/w"), play(loops))
            messages = [item async for item in bus.read(subjects.LOOPS, "loop.>", 1)]
        server.kill()
        killed = shutil.copytree(folder / "origin" / "js", folder / "killed")
        server.start()
        halt(server)
        stopped = shutil.copytree(folder / "origin" / "js", folder / "stopped")
    return Recording({"killed": killed, "stopped": stopped}, heads, messages)


def halt(server: Server) -> None:
    """Stop a server as an operator does."""
    assert server.process is not None
    server.signal(signal.SIGTERM)
    server.process.wait()


def block(store: Path) -> Path:
    """The one block file that holds the loops' events."""
    (found,) = [path for path in store.rglob("*.blk") if subjects.LOOPS in path.parts]
    return found


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Turn one bit of a file over; the checksum of the record stays what it was."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def body_at(path: Path, message: Stored) -> int:
    """Where in the block a message's body begins."""
    return path.read_bytes().index(message.body)


def cut(path: Path, at: int) -> None:
    """Cut a file off."""
    os.truncate(path, at)


@contextmanager
def served(store: Path, folder: Path) -> Iterator[Server]:
    """A server on a copy of a store."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(store, folder / "js")
    with nats_server(folder) as server:
        yield server


@contextmanager
def damaged(
    recording: Recording, folder: Path, stop: Stop, change: Callable[[Path], object]
) -> Iterator[Server]:
    """A server on a copy of the recording whose block was changed while nothing ran."""
    work = folder / "changed"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(recording.stores[stop], work)
    change(block(work))
    with served(work, folder / "served") as server:
        yield server


async def publish(server: Server, messages: Sequence[Stored]) -> None:
    """A fresh stream of the same name with these messages: a forged copy of the log."""
    async with connected(server.url) as bus:
        await declare(bus.js, ServiceSettings())
        for message in messages:
            await bus.js.publish(message.subject, message.body)


async def audited(server: Server, heads: dict[str, list[Head]]) -> list[str]:
    """What `loopwright verify-log --all` finds, given what the projections had seen."""
    async with Client(server.url) as client:
        ids = sorted({*await client.loop_ids(), *heads})
        return [
            sentence for loop in ids for sentence in await client.audit(loop, heads.get(loop, ()))
        ]
