"""The table of tools, what an action may be, what a goal may reach, and tools of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loopwright.errors import GoalInvalidError
from loopwright.outside import Network
from loopwright.testing import playbook_goal
from loopwright.tools import (
    DEFAULT_TOOLS,
    TOOL_GROUPS,
    TOOLS,
    Action,
    OwnTool,
    ToolCall,
    ToolSpec,
    action_faults,
    plan_faults,
    register,
    tool,
)
from loopwright.tools.arguments import McpCallArgs
from loopwright.wire import Written


class CountArgs(Written):
    """Count words."""

    path: str


@tool("words.count", CountArgs, effect="read")
async def count(args: CountArgs, call: ToolCall) -> str:
    return f"{args.path} in {call.workspace}"


def rule(*actions: dict[str, Any]) -> dict[str, Any]:
    return {
        "backend": "playbook",
        "rules": [{"name": "work", "when": {"start": True}, "do": list(actions)}],
    }


def faults_of(**goal: Any) -> dict[str, str]:
    with pytest.raises(GoalInvalidError) as raised:
        playbook_goal(**goal)
    return {fault.path: fault.message for fault in raised.value.faults}


def test_what_reaches_out_of_the_workspace_must_be_named() -> None:
    outside = {spec.group for spec in TOOLS.values() if spec.effect.startswith("external")}
    assert not outside & set(DEFAULT_TOOLS)
    assert outside | {"spawn_loop"} | set(DEFAULT_TOOLS) == set(TOOL_GROUPS)


def test_an_open_object_may_be_json_text() -> None:
    asked = {"server": "time", "tool": "now", "arguments": json.dumps({"timezone": "UTC"})}
    assert McpCallArgs.model_validate(asked).arguments == {"timezone": "UTC"}
    wrong = Action(tool="mcp.call", args={**asked, "arguments": "{"})
    assert [fault.path for fault in action_faults(wrong, ("mcp",), "a")] == ["a.args.arguments"]


def test_a_nested_loop_is_a_plans_last_action() -> None:
    spawn = Action(tool="spawn_loop", args={"children": [{"name": "sub"}]})
    touch = Action(tool="shell", args={"run": "true"})
    assert plan_faults([touch, spawn], "actions") == []
    (fault,) = plan_faults([spawn, touch], "actions")
    assert (fault.path, "last" in fault.message) == ("actions[0].tool", True)


def test_http_without_hosts_and_mcp_without_servers_are_faults() -> None:
    assert set(faults_of(tools=["shell", "http", "mcp"])) == {"network.allow", "mcp"}


def test_an_mcp_server_is_a_command_or_a_url() -> None:
    both = {"name": "x", "command": ["x"], "url": "http://x:1/", "tools": ["t"]}
    neither = {"name": "x", "tools": ["t"]}
    found = faults_of(tools=["shell", "mcp"], mcp=[both, neither])
    assert set(found) == {"mcp[0]", "mcp[1]", "mcp[1].name"}
    assert set(faults_of(mcp=[{"name": "x", "command": ["x"], "tools": ["t"]}])) == {"tools"}


@pytest.mark.parametrize("entry", ["example.org", "EXAMPLE.org:443", "https://x:1", "*:443", "x:"])
def test_an_endpoint_is_a_host_in_lower_case_with_its_port(entry: str) -> None:
    assert "network.allow[0]" in faults_of(network={"allow": [entry]})


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("example.org:443", "example.org", 443, True),
        ("example.org:443", "EXAMPLE.org.", 443, True),
        ("example.org:443", "example.org", 80, False),
        ("example.org:443", "a.example.org", 443, False),
        ("*.example.org:443", "a.b.example.org", 443, True),
        ("*.example.org:443", "example.org", 443, False),
        ("*.example.org:443", "badexample.org", 443, False),
        ("[::1]:80", "::1", 80, True),
    ],
)
def test_a_list_allows_a_host_and_a_port(entry: str, host: str, port: int, allowed: bool) -> None:
    assert Network(allow=(entry,)).allows(host, port) is allowed


def test_a_tool_of_ones_own_is_registered_under_its_own_name() -> None:
    assert isinstance(count, OwnTool)
    spec = ToolSpec(count.name, count.args, count.effect)
    register(spec)
    register(spec)
    try:
        goal = playbook_goal(
            tools=["words"], planner=rule({"tool": "words.count", "args": {"path": "a"}})
        )
        assert goal.tools == ("words",)
    finally:
        del TOOLS[spec.name]


@pytest.mark.parametrize("name", ["shell", "file.shred"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        register(ToolSpec(name, CountArgs, "read"))
    assert "file.shred" not in TOOLS
