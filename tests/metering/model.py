"""An OpenAI-compatible server with a meter of its own: it books a call before it answers.

What it charges for is all that a provider can: every prompt that arrives, whole, and the output,
or the whole output cap where it fails after the work. It knows of the product only its requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

from llm import completion, plan_text, write_file

#: How a call ends, and of a thousand calls so many; the rest are answered.
FAULTS = {"cut": 60, "error": 40, "no_usage": 80, "rubbish": 30}
#: The longest that an answer takes, in seconds.
SLOW_S = 0.6


@dataclass(slots=True)
class Sold:
    """To one model's callers; every goal names a model of its own."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Of both kinds."""
        return self.input_tokens + self.output_tokens


@dataclass(slots=True)
class Model:
    """The server: its book, and what it is told to do."""

    seed: int
    port: int = 0
    crowd: int = 0
    """The first answers wait until so many calls have come: so many are under way at once."""
    down: bool = False
    """Every call is refused with 503, which costs nothing."""
    sold: defaultdict[str, Sold] = field(default_factory=lambda: defaultdict(Sold))
    ends: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    refused: list[float] = field(default_factory=list)
    """When calls came while it was down."""
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    open: int = 0
    """Calls that are being answered."""
    most_at_once: int = 0
    calls: int = 0

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL must be."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Calls of one connection, one after the other."""
        self.connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (body := await _request(reader)) is not None:
                if not await self._answer(json.loads(body), writer):
                    break
        writer.transport.abort()
        self.connections.discard(writer)

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        self.calls += 1
        number = self.calls
        if self.down:
            self.refused.append(monotonic())
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)
        try:
            return await self._end(asked, number, writer)
        finally:
            self.open -= 1

    async def _end(self, asked: dict[str, Any], number: int, writer: asyncio.StreamWriter) -> bool:
        dice = Random(f"{self.seed}/{number}")
        if self.down:
            await asyncio.sleep(0.05)
            return await _send(writer, 503, {"error": {"message": "overloaded"}})
        cap = asked.get("max_completion_tokens") or asked["max_tokens"]
        end = dice.choices([*FAULTS, "answer"], [*FAULTS.values(), 1000 - sum(FAULTS.values())])[0]
        self.ends[end] += 1
        output = dice.randint(1, cap) if end in ("answer", "no_usage", "rubbish") else cap
        prompt = sum(len(message["content"].encode()) for message in asked["messages"])
        sold = self.sold[asked["model"]]
        sold.calls, sold.input_tokens = sold.calls + 1, sold.input_tokens + prompt
        sold.output_tokens += output
        while self.most_at_once < self.crowd:
            await asyncio.sleep(0.02)
        await asyncio.sleep(dice.uniform(0.0, SLOW_S))
        usage = {"prompt_tokens": prompt, "completion_tokens": output}
        text = plan_text(f"Step {number}.", write_file("a", f"{number}"))
        match end:
            case "cut":
                await _send(writer, 200, completion(text, usage), cut=True)
                return False
            case "error":
                return await _send(writer, 500, {"error": {"message": "it broke half-way"}})
            case "no_usage":
                return await _send(writer, 200, completion(text, None))
            case "rubbish":
                return await _send(writer, 200, completion("no plan at all", usage))
            case _:
                return await _send(writer, 200, completion(text, usage))


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next request; None where there is none."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return await reader.readexactly(int(value))
    return None


async def _send(
    writer: asyncio.StreamWriter, status: int, body: dict[str, Any], *, cut: bool = False
) -> bool:
    data = json.dumps({"id": "x", "object": "chat.completion", "model": "m", **body}).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    writer.write(head.encode() + b"\r\n\r\n" + (data[: len(data) // 2] if cut else data))
    await writer.drain()
    return True


@asynccontextmanager
async def model_server(seed: int, crowd: int = 0) -> AsyncIterator[Model]:
    """The server on a free loopback port."""
    model = Model(seed, crowd=crowd)
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        server.close()
        while model.connections:
            for writer in model.connections:
                writer.transport.abort()
            await asyncio.sleep(0.01)
