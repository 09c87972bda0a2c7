"""A tool of one's own: it counts the words of a file, in the sandbox."""

from __future__ import annotations

from loopwright.errors import StepError
from loopwright.tools import ToolCall, tool
from loopwright.wire import Written


class CountArgs(Written):
    """Count the words of a file of the workspace."""

    path: str


@tool("words.count", CountArgs, effect="read")
async def count(args: CountArgs, call: ToolCall) -> str:
    """How many words there are."""
    done = await call.run("wc", "-w", args.path)
    if done.exit_code != 0:
        raise StepError("tool_failed", done.stderr)
    return done.stdout
