"""Whether a bus and a store can be used: really connected, let in, and answering."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import nats.errors
import nats.js.errors

from loopwright import subjects
from loopwright.client import Client
from loopwright.connection import Connection
from loopwright.errors import LoopwrightError

#: How long each may take to answer, in seconds.
LOOK_S = 3.0
STORE_PORT = 6379


async def bus_fault(connection: Connection) -> str | None:
    """Why the bus cannot be used; None if it lets us in and has the streams."""
    try:
        async with Client(connection=connection) as client:
            await client.nc.jetstream(timeout=LOOK_S).stream_info(subjects.LOOPS)
    except nats.js.errors.NotFoundError:
        return f"{connection.url} answers, but has no stream {subjects.LOOPS}: start a coordinator"
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        name = type(error).__name__
        return f"{connection.url} answers, but not for stream {subjects.LOOPS} ({name})"
    except LoopwrightError as error:
        return str(error)
    return None


async def store_fault(url: str, password_file: Path | None = None) -> str | None:
    """Why the store at a redis:// or rediss:// address cannot be used; None if it lets us in."""
    at = urlsplit(url)
    try:
        async with asyncio.timeout(LOOK_S):
            said = await _greet(at, password_file)
    except (OSError, TimeoutError, ValueError) as error:
        return f"no store answers at {place_of(url)} ({str(error) or type(error).__name__})"
    return None if said == "+PONG" else f"the store at {place_of(url)} says: {said}"


def place_of(url: str) -> str:
    """Host and port of a store's address, without its password."""
    at = urlsplit(url)
    return f"{at.hostname}:{at.port or STORE_PORT}"


async def _greet(at: SplitResult, password_file: Path | None) -> str:
    """What the store answers to PING, or why it does not let us in."""
    secure = ssl.create_default_context() if at.scheme == "rediss" else None
    reader, writer = await asyncio.open_connection(at.hostname, at.port or STORE_PORT, ssl=secure)
    try:
        said = "+OK"
        password = unquote(at.password or "")
        if password_file is not None:
            password = password_file.read_text(encoding="utf-8").strip()
        if password:
            user = (unquote(at.username),) if at.username else ()
            said = await _said(reader, writer, "AUTH", *user, password)
        return said if said != "+OK" else await _said(reader, writer, "PING")
    finally:
        writer.close()


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str:
    bulks = [word.encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(bulk), bulk) for bulk in bulks)
    writer.write(b"*%d\r\n%s" % (len(bulks), body))
    return (await reader.readline()).decode(errors="replace").strip()
