"""Tools of your own: a function and its arguments, in a package of yours.

    class CountArgs(Written):
        "Count the words of a file."
        path: str

    @tool("words.count", CountArgs, effect="read")
    async def count(args: CountArgs, call: ToolCall) -> str: ...

Name it in the entry point group `loopwright.tools` and install the package beside every service.
The function runs in the executor, so it is trusted; what it runs by `call.run` is sandboxed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, Protocol, TypeVar

from loopwright.tools.action import EffectClass, Isolation
from loopwright.wire import Written

ArgsT = TypeVar("ArgsT", bound=Written)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command that a tool ran in the sandbox ended."""

    exit_code: int | None
    """None where a limit ended it."""
    stdout: str
    stderr: str


class ToolCall(Protocol):
    """What a tool of your own is given beside its arguments."""

    @property
    def workspace(self) -> PurePath:
        """The folder of the loop's files; changes are committed with the iteration's."""
        ...

    @property
    def timeout_s(self) -> float:
        """When the call is ended, in seconds."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of this action, and of no other."""
        ...

    async def run(self, *argv: str, stdin: bytes = b"") -> CommandResult:
        """Run a command in the sandbox, in the workspace."""
        ...


@dataclass(frozen=True, slots=True)
class OwnTool(Generic[ArgsT]):
    """A tool from a package: what the entry point names."""

    name: str
    args: type[ArgsT]
    effect: EffectClass
    min_isolation: Isolation
    run: Callable[[ArgsT, ToolCall], Awaitable[str]]


def tool(
    name: str,
    args: type[ArgsT],
    *,
    effect: EffectClass,
    min_isolation: Isolation = "none",
) -> Callable[[Callable[[ArgsT, ToolCall], Awaitable[str]]], OwnTool[ArgsT]]:
    """Make a tool of an async function. What it returns is shown to the planner.

    It fails by raising StepError with a kind and a sentence. An `external_once` tool is journalled
    and never called again when nobody knows how a call ended.
    """

    def made(run: Callable[[ArgsT, ToolCall], Awaitable[str]]) -> OwnTool[ArgsT]:
        return OwnTool(name, args, effect, min_isolation, run)

    return made
