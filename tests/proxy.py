"""A TCP proxy that cuts connections, delays, swallows answers and goes silent, by a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CHUNK = 64 * 1024


@dataclass(eq=False)
class Line:
    """One connection through the proxy, and what is being done to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallow: set[asyncio.StreamWriter] = field(default_factory=set)
    """What is on its way to one of these never arrives."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """Reset both ends; what is on its way is lost."""
        for writer in (self.client, self.server):
            writer.transport.abort()

    async def carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """Pass bytes on until one end is gone."""
        while data := await source.read(CHUNK):
            await self.flowing.wait()
            if to not in self.swallow:
                to.write(data)
                await to.drain()


@dataclass
class Proxy:
    """Stands between clients and one server on this machine."""

    target: int
    port: int = 0
    lines: set[Line] = field(default_factory=set)
    accepted: int = 0
    refusing: bool = False
    """Whoever connects is cut off at once."""

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        return f"nats://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a client with the server until either is gone."""
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        line = Line(writer, server)
        line.flowing.set()
        self.lines.add(line)
        ways = [
            asyncio.create_task(line.carry(reader, server)),
            asyncio.create_task(line.carry(answers, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lines.discard(line)
            line.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def say(self, line: bytes) -> None:
        """Say something to every client in the server's name."""
        for one in self.lines:
            one.client.write(line)

    def cut(self) -> None:
        """Cut every connection."""
        for line in list(self.lines):
            line.cut()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """A proxy to a port, on a free port."""
    one = Proxy(target)
    server = await asyncio.start_server(one.accept, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        one.cut()
        while one.lines:
            await asyncio.sleep(0.01)


@dataclass
class Mischief:
    """Does one thing after another to the connections of a proxy."""

    proxy: Proxy
    seed: int
    every_s: float = 0.03
    """Between two faults, on average."""
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; then every connection flows again."""
        chance = random.Random(self.seed)
        running: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), chance.expovariate(1 / self.every_s))
            lines = list(self.proxy.lines)
            if lines:
                fault = chance.choice((self.cut, self.delay, self.deafen, self.blackhole))
                self.done[fault.__name__] += 1
                act = fault(chance.choice(lines), chance.uniform(0.01, 0.25))
                running.add(task := asyncio.create_task(act))
                task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def cut(self, line: Line, _: float) -> None:
        """The connection is reset."""
        line.cut()

    async def delay(self, line: Line, seconds: float) -> None:
        """Nothing moves for a while; then everything arrives."""
        line.flowing.clear()
        await asyncio.sleep(seconds)
        line.flowing.set()

    async def deafen(self, line: Line, seconds: float) -> None:
        """What is asked is done, the answers are lost."""
        line.swallow.add(line.client)
        await asyncio.sleep(seconds)
        line.cut()

    async def blackhole(self, line: Line, seconds: float) -> None:
        """Nothing arrives in either direction, and nobody is told."""
        line.swallow |= {line.client, line.server}
        await asyncio.sleep(seconds)
        line.cut()
