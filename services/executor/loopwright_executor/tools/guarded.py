"""Which dependency an action reaches, and what its outcome says of it.

`tool:<name>` is a tool of the installation's own packages; `mcp:<host>` is an MCP server behind a
URL, by where it is: its name is the goal's own word. What runs inside the sandbox depends on nobody
else, and `http` goes wherever a goal likes: a dead host of one goal is nobody else's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args
from urllib.parse import urlsplit

from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.plan import ActionOutcome
from loopwright.service.gate import Passage
from loopwright_executor.tools.call import Call

#: What a server answers with that is there, and does not like what it is asked.
_SAID: ErrorKind = "tool_failed"


def dependency_of(call: Call, own: Collection[str]) -> str | None:
    """The dependency whose breaker an action asks; None where it has none."""
    match call.action.tool, call.action.args:
        case "mcp.call" | "mcp.tools", {"server": name}:
            urls = (server.url for server in call.goal.mcp if server.name == name)
            url = next(urls, None)
            return None if url is None else f"mcp:{urlsplit(url).netloc.rpartition('@')[2]}"
        case tool, _ if tool in own:
            return f"tool:{tool}"
        case _:
            return None


def told(
    passage: Passage, dependency: str, outcome: ActionOutcome | None, *, stopped: bool
) -> None:
    """Say to the breaker how the call ended; None where no call was made after all."""
    kinds: dict[str, ErrorKind] = {kind: kind for kind in get_args(ErrorKind)}
    if outcome is None:
        passage.failed(ErrorInfo(kind="internal", message="no call was made"))
    elif outcome.failure is None or (dependency.startswith("mcp:") and outcome.failure == _SAID):
        passage.answered()
    else:
        # A limit of the sandbox says nothing about what was called.
        kind = kinds.get(outcome.failure, "internal")
        passage.failed(ErrorInfo(kind=kind, message=outcome.stderr[:500]), stopped=stopped)
