"""Breakers of tools and MCP servers: an action that must not be made now has not begun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loopwright.breaker import Holder, Rules
from loopwright.breakers import Breakers
from loopwright.errors import ErrorKind, StepError
from loopwright.plan import ActionOutcome
from loopwright.service.bus import Bus
from loopwright.service.gate import Gate
from loopwright.service.sandbox import NoSandbox
from loopwright.testing import playbook_goal
from loopwright.tools import TOOLS, OwnTool, ToolCall, ToolSpec, register, tool
from loopwright.wire import Written
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.guarded import dependency_of, told
from tooling import call_of, toolbox

RULES = Rules(failures=3)


class NoArgs(Written):
    """None."""


class Remote:
    """A tool of a package, as its service is at the moment."""

    def __init__(self, effect: Any = "external_idempotent") -> None:
        self.calls = 0
        self.fails: ErrorKind | None = None

        @tool("remote.ping", NoArgs, effect=effect)
        async def ping(_: NoArgs, __: ToolCall) -> str:
            self.calls += 1
            if self.fails is not None:
                raise StepError(self.fails, "it is away")
            return "pong"

        self.own: OwnTool[Any] = ping


def spec(remote: Remote) -> ToolSpec:
    return ToolSpec(remote.own.name, remote.own.args, remote.own.effect)


@pytest.fixture
def remote() -> Any:
    made = Remote()
    register(spec(made))
    yield made
    TOOLS.pop("remote.ping", None)


def holder(index: int) -> Holder:
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    return Holder(loop=f"l{index}", role="executor", iteration=1, attempt=1, deadline=deadline)


async def ping(box: Any, tree: Path, index: int) -> ActionOutcome:
    call = replace(call_of(tree, "remote.ping", index=index), holder=holder(index))
    outcome: ActionOutcome = await box.run(call, ("remote",))
    return outcome


async def test_a_tool_that_is_away_is_called_no_more_and_again_when_its_breaker_closes(
    bus: Bus, tmp_path: Path, remote: Remote
) -> None:
    box = toolbox(NoSandbox(), own=(remote.own,), gate=Gate(bus.nc, RULES))
    remote.fails = "network"
    for index in range(RULES.failures):
        assert (await ping(box, tmp_path, index)).failure == "network"
    with pytest.raises(StepError, match="is down") as refused:
        await ping(box, tmp_path, 10)
    assert refused.value.info.kind == "dependency_down"
    assert refused.value.info.dependency == "tool:remote.ping"
    assert remote.calls == RULES.failures
    remote.fails = None
    await Breakers(bus.nc).close("tool:remote.ping")
    assert (await ping(box, tmp_path, 11)).status == "succeeded"


async def test_denials_are_never_counted(bus: Bus, tmp_path: Path, remote: Remote) -> None:
    box = toolbox(NoSandbox(), own=(remote.own,), gate=Gate(bus.nc, RULES))
    for kind in ("permission_denied", "invalid_arguments", "auth"):
        remote.fails = kind
        for index in range(2 * RULES.failures):
            assert (await ping(box, tmp_path, index)).failure == kind
    assert remote.calls == 6 * RULES.failures


async def test_what_was_refused_is_not_in_the_journal(bus: Bus, tmp_path: Path) -> None:
    once = Remote("external_once")
    register(spec(once))
    try:
        box = toolbox(NoSandbox(), own=(once.own,), gate=Gate(bus.nc, RULES))
        await Breakers(bus.nc).open("tool:remote.ping")
        with pytest.raises(StepError, match="is down"):
            await ping(box, tmp_path, 1)
        await Breakers(bus.nc).close("tool:remote.ping")
        assert (await ping(box, tmp_path, 1)).stdout == "pong"
        assert once.calls == 1
        # A retold outcome is no call: it may not be taken for an answer.
        assert (await ping(box, tmp_path, 1)).stdout == "pong"
        assert once.calls == 1
    finally:
        TOOLS.pop("remote.ping", None)


def mcp_call(tree: Path, server: dict[str, Any]) -> Call:
    goal = playbook_goal(
        mcp=[{"name": "notes", "tools": ["add"], **server}],
        tools=["mcp", "shell"],
        network={"allow": ["notes.example:8443"]},
    )
    return call_of(tree, "mcp.call", goal, server="notes", tool="add", arguments={})


def test_an_mcp_server_is_known_by_where_it_is(tmp_path: Path) -> None:
    away = mcp_call(tmp_path, {"url": "https://notes.example:8443/mcp"})
    assert dependency_of(away, ()) == "mcp:notes.example:8443"
    assert dependency_of(mcp_call(tmp_path, {"command": ["notes"]}), ()) is None
    assert dependency_of(call_of(tmp_path, "shell", run="true"), ()) is None


async def test_an_mcp_server_that_says_no_is_there(bus: Bus) -> None:
    gate = Gate(bus.nc, RULES)
    said = ActionOutcome(tool="mcp.call", status="failed", failure="tool_failed")
    away = ActionOutcome(tool="mcp.call", status="failed", failure="network")
    for _ in range(2 * RULES.failures):
        async with gate.call("mcp:a", holder(1)) as passage:
            told(passage, "mcp:a", said, stopped=False)
    assert await gate.look("mcp:a") is None
    for _ in range(RULES.failures):
        async with gate.call("mcp:a", holder(1)) as passage:
            told(passage, "mcp:a", away, stopped=False)
    assert await gate.look("mcp:a") is not None
