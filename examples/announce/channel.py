"""A team's channel as an MCP server: what is announced stays, and cannot be taken back.

    python channel.py PORT POSTS.ndjson

It speaks MCP at /mcp, and says at /posts as JSON what was announced. One key is one announcement,
however often it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse


def channel(file: Path, hold: Path | None) -> MCPServer:
    """The server; `hold` is a file that it waits for before it answers an announcement."""
    server = MCPServer("channel")

    @server.tool()
    async def announce(text: str, idempotency_key: str) -> str:
        """Tell everybody. Cannot be taken back."""
        if idempotency_key not in {post["key"] for post in posts(file)}:
            with file.open("a") as sink:
                sink.write(json.dumps({"key": idempotency_key, "text": text}) + "\n")
        while hold is not None and not hold.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)
        return f"announced: {text}"

    @server.tool()
    async def announced() -> str:
        """What was announced so far, oldest first."""
        return "\n".join(post["text"] for post in posts(file)) or "nothing yet"

    @server.custom_route("/posts", methods=["GET"])
    async def listed(_: Request) -> JSONResponse:
        return JSONResponse(posts(file))

    return server


def posts(file: Path) -> list[dict[str, Any]]:
    """Every announcement."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main() -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--hold", type=Path, help="answer only once this file exists")
    given = parser.parse_args()
    app = channel(given.file, given.hold).streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
