"""One exchange with an MCP server that is a command, both inside the sandbox.

A server of its own for each action: it sees the workspace, keeps nothing, and ends with the action.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import mcp

#: Names under which servers take an idempotency key.
KEYS = ("idempotency_key", "idempotencyKey")


def main() -> int:
    """What is asked comes as JSON on standard input; the answer is JSON on standard output."""
    asked = json.load(sys.stdin)
    command, *arguments = asked["command"]
    server = mcp.StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    try:
        answer = asyncio.run(talk(server, asked))
    except BaseExceptionGroup as group:
        print(_first(group), file=sys.stderr)  # noqa: T201
        return 1
    except (OSError, mcp.MCPError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(answer))  # noqa: T201
    return 0


async def talk(server: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Connect and exchange."""
    async with mcp.Client(server) as client:
        return await exchange(client, asked)


async def exchange(client: mcp.Client, asked: dict[str, Any]) -> dict[str, Any]:
    """The allowed tools where no tool is asked for, else the tool's answer."""
    tools = [tool for tool in await _tools(client) if tool.name in asked["allowed"]]
    if asked.get("tool") is None:
        return {
            "tools": [
                {"name": t.name, "description": t.description, "arguments": t.input_schema}
                for t in tools
            ]
        }
    found = next((tool for tool in tools if tool.name == asked["tool"]), None)
    if found is None:
        return {"is_error": True, "text": f"the server has no tool '{asked['tool']}'"}
    arguments = dict(asked["arguments"])
    for name in KEYS:
        if name in found.input_schema.get("properties", {}):
            arguments[name] = asked["key"]
    answer = await client.call_tool(found.name, arguments)
    return {"is_error": bool(answer.is_error), "text": _text(answer)}


async def _tools(client: mcp.Client) -> list[mcp.Tool]:
    found: list[mcp.Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > 1000:
            return found


def _text(answer: Any) -> str:
    """Texts as they are; of other content, what it is."""
    parts = [str(item.text) if item.type == "text" else f"[{item.type}]" for item in answer.content]
    if not parts and answer.structured_content is not None:
        parts = [json.dumps(answer.structured_content)]
    return "\n".join(parts)


def _first(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return f"{type(group).__name__}: {group}"


if __name__ == "__main__":
    sys.exit(main())
