"""A small HTTP server on 127.0.0.1 that does what its paths say, and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Web:
    """What was asked of it."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Request line without the version, and headers."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append((f"{method} {path}", headers))
        name, _, rest = path.strip("/").partition("/")
        match name:
            case "cut":
                return
            case "silent":
                await reader.read()
            case "to":
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: {rest}\r\n".encode())
                writer.write(b"Content-Length: 0\r\n\r\n")
            case "bytes":
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {rest}\r\n\r\n".encode())
                writer.write(b"x" * int(rest))
            case "status":
                writer.write(f"HTTP/1.1 {rest} Said\r\nContent-Length: 0\r\n\r\n".encode())
            case _:
                body = f"{method} {path}".encode()
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                writer.write(body)
        await writer.drain()


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    """A running server."""
    found = Web()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()
