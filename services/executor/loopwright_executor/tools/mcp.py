"""MCP servers that a goal names: commands inside the sandbox, URLs from the executor."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import httpx2

from loopwright.errors import ErrorKind, StepError
from loopwright.goal import Goal
from loopwright.outside import McpServer
from loopwright.plan import ActionOutcome
from loopwright.service.sandbox import Completed
from loopwright.tools import arguments as a
from loopwright.wire import Json
from loopwright_executor.core import excerpt
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands, failure_of
from loopwright_executor.tools.reach import Pinned, Reach
from loopwright_executor.tools.secrets import Secrets
from loopwright_executor.tools.within import within

#: An answer that is larger than this is cut by the sandbox, in bytes.
ANSWER_BYTES = 1024 * 1024
#: What a listing of tools may take of the feedback, in characters.
LISTING_CHARS = 16_000
#: Runtimes such as node reserve address space that they never use; what is used stays limited.
ADDRESS_SPACE_BYTES = 32 * 1024**3


@dataclass(frozen=True, slots=True)
class Mcp:
    """Talks to MCP servers."""

    commands: Commands
    secrets: Secrets
    private_hosts: frozenset[str] = frozenset()

    async def tools(self, call: Call) -> ActionOutcome:
        """List what may be called, with the arguments' schemas."""
        server = _server(call.goal, call.args(a.McpToolsArgs).server)
        return await self._exchange(call, server, {"tool": None})

    async def call(self, call: Call) -> ActionOutcome:
        """Call a tool that the goal allows."""
        args = call.args(a.McpCallArgs)
        server = _server(call.goal, args.server)
        if args.tool not in server.tools:
            listed = ", ".join(server.tools)
            raise StepError(
                "permission_denied", f"{args.server}: '{args.tool}' is not among: {listed}"
            )
        return await self._exchange(call, server, {"tool": args.tool, "arguments": args.arguments})

    async def _exchange(self, call: Call, server: McpServer, asked: Json) -> ActionOutcome:
        asked = {**asked, "allowed": list(server.tools), "key": call.idempotency_key}
        if server.url is not None:
            return self._outcome(await self._by_http(call, server, server.url, asked))
        env = {name: self.secrets.fill(text, call.goal) for name, text in server.env.items()}
        roomy = replace(call, limits=replace(call.limits, address_space_bytes=ADDRESS_SPACE_BYTES))
        completed = await self.commands.program(
            roomy,
            "mcp_stdio.py",
            {**asked, "command": list(server.command)},
            env=env,
            excerpt_bytes=2 * ANSWER_BYTES,
        )
        plain = self.commands.outcome(completed)
        try:
            answer = json.loads(completed.stdout.text()) if plain.status == "succeeded" else None
        except ValueError:
            answer = None
        if answer is None:
            return plain.model_copy(
                update={
                    "status": "failed",
                    "failure": _failure(call, completed),
                    "stdout": excerpt(plain.stdout),
                    "stderr": excerpt(plain.stderr),
                }
            )
        kept = ("max_rss_bytes", "isolation")
        return self._outcome(answer).model_copy(update={key: getattr(plain, key) for key in kept})

    async def _by_http(self, call: Call, server: McpServer, url: str, asked: Json) -> Json:
        import mcp  # takes a second; most goals have no server behind a URL

        reach = Reach(call.goal.network, self.private_hosts)
        headers = self.secrets.headers(server.headers, call.goal)
        begun: list[str] = []
        try:
            return await within(call, _talk_by_http(url, headers, reach, asked, begun))
        except StepError:
            raise
        except (BaseExceptionGroup, httpx2.HTTPError, mcp.MCPError, TimeoutError, OSError) as error:
            first = _first(error)
            if isinstance(first, StepError) and not begun:
                raise first from error
            # Once the call is under way, nobody knows whether the server did it.
            unknown = begun and call.effect == "external_once"
            kind: ErrorKind = "outcome_unknown" if unknown else "network"
            said = f"{server.name}: {type(first).__name__} {first}"
            raise StepError(kind, said) from error

    def _outcome(self, answer: Json) -> ActionOutcome:
        text, limit = str(answer.get("text", "")), 4_000
        if "tools" in answer:
            text, limit = "\n".join(map(_described, answer["tools"])), LISTING_CHARS
        good = not answer.get("is_error")
        return ActionOutcome(
            tool="mcp",
            status="succeeded" if good else "failed",
            failure=None if good else "tool_failed",
            stdout=excerpt(self.commands.redactor.text(text), limit),
        )


async def _talk_by_http(
    url: str, headers: dict[str, str], reach: Reach, asked: Json, begun: list[str]
) -> Json:
    import mcp
    from mcp.client.streamable_http import streamable_http_client

    from loopwright_executor.programs import mcp_stdio

    async with (
        httpx2.AsyncClient(transport=Pinned(reach), headers=headers, timeout=60.0) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        begun += [asked["tool"]] if asked["tool"] else []
        return await mcp_stdio.exchange(client, asked)


def _server(goal: Goal, name: str) -> McpServer:
    for server in goal.mcp:
        if server.name == name:
            return server
    listed = ", ".join(server.name for server in goal.mcp) or "none"
    raise StepError("tool_not_found", f"'{name}' is no MCP server of this goal: {listed}")


def _failure(call: Call, completed: Completed) -> str:
    """A server that broke off may have done what must not be done twice."""
    once = call.effect == "external_once" and call.action.tool == "mcp.call"
    return "outcome_unknown" if once else failure_of(completed)


def _described(tool: Json) -> str:
    return (
        f"{tool['name']}: {tool['description'] or ''}\n  arguments: {json.dumps(tool['arguments'])}"
    )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
