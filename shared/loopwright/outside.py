"""What a goal lets its actions reach out of the workspace: hosts, MCP servers, secrets. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from loopwright.errors import Fault
from loopwright.tools import EffectClass
from loopwright.wire import Written

_HOST = r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_IPV6 = r"\[[0-9a-f:]+\]"

#: `host:port`, in lower case; `*.example.org:443` means every host below it.
Endpoint = Annotated[
    str, StringConstraints(pattern=rf"^({_HOST}|{_IPV6}):\d{{1,5}}$", max_length=260)
]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,200}$")]


class Network(Written):
    """Where actions may connect to; nowhere by default."""

    allow: tuple[Endpoint, ...] = Field(default=(), max_length=100)
    """Hosts with their ports. Private addresses only where the installation allows the host."""

    def allows(self, host: str, port: int) -> bool:
        """Whether the list names this host and port."""
        name = host.lower().rstrip(".")
        wanted = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        return any(_matches(entry, wanted) for entry in self.allow)


class McpServer(Written):
    """An MCP server that actions may call: a command in the sandbox, or a URL."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    command: tuple[str, ...] = Field(default=(), max_length=50)
    """The command that speaks MCP on its standard input and output."""
    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$", max_length=2000)
    """A streamable HTTP endpoint; `network.allow` must name its host and port."""
    headers: tuple[str, ...] = Field(default=(), max_length=50)
    """Sent to the URL, each as `Name: value`; `${secret:NAME}` stands for a listed secret."""
    env: dict[str, str] = Field(default_factory=dict, max_length=50)
    """For the command; `${secret:NAME}` stands for a listed secret."""
    tools: tuple[ToolName, ...] = Field(min_length=1, max_length=500)
    """The tools that may be called, by name."""
    effect: EffectClass | None = None
    """What its calls change; otherwise the workspace for a command and, for a URL, the world."""

    @property
    def effects(self) -> EffectClass:
        """What its calls change: what the goal says, or the worst that they can do."""
        return self.effect or ("workspace" if self.command else "external_once")


def outside_faults(
    network: Network, servers: tuple[McpServer, ...], tools: tuple[str, ...]
) -> list[Fault]:
    """What does not fit together in what a goal reaches."""
    faults = [*_tool_faults(network, servers, tools)]
    seen: set[str] = set()
    for index, server in enumerate(servers):
        where = f"mcp[{index}]"
        if server.name in seen:
            faults.append(Fault(path=f"{where}.name", message=f"'{server.name}' is used twice"))
        seen.add(server.name)
        if bool(server.command) == (server.url is not None):
            faults.append(Fault(path=where, message="give `command` or `url`, one of them"))
    return faults


def _tool_faults(
    network: Network, servers: tuple[McpServer, ...], tools: tuple[str, ...]
) -> list[Fault]:
    faults = []
    if "http" in tools and not network.allow:
        message = "`http` can reach nothing: name hosts in network.allow, as api.example.org:443"
        faults.append(Fault(path="network.allow", message=message))
    if "mcp" in tools and not servers:
        faults.append(Fault(path="mcp", message="`mcp` has no server to call: name one in `mcp`"))
    if servers and "mcp" not in tools:
        message = "MCP servers are given, so `tools` must name `mcp`"
        faults.append(Fault(path="tools", message=message))
    return faults


def _matches(entry: str, wanted: str) -> bool:
    if entry.startswith("*."):
        return wanted.endswith(entry[1:])
    return entry == wanted
