"""The tools that a plan may call: names, typed arguments, effect classes.

The planner shows and validates them, the executor runs them, admission checks a playbook's use
of them; so they are stated once, here. What a tool does is the executor's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from loopwright.errors import Fault
from loopwright.wire import Json, Seconds, Written

EffectClass = Literal["read", "workspace", "external_idempotent", "external_once"]

#: A file's text in a plan, in characters; larger files come from a command.
MAX_CONTENT_CHARS = 400_000

#: A command line; the kernel takes no argument of 128 KiB.
MAX_COMMAND_CHARS = 30_000


class Action(Written):
    """One tool call of a plan."""

    tool: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    """A tool's name, such as `shell`, `python` or `file.write`."""
    args: dict[str, Json] = Field(default_factory=dict)
    """The tool's own arguments."""
    timeout: Seconds | None = None
    """Wall-clock limit of this action; the goal's limit otherwise."""
    allow_failure: bool = False
    """Go on with the next action even if this one fails."""


class ShellArgs(Written):
    """Run a command line with `sh -c` in the workspace."""

    run: str = Field(min_length=1, max_length=MAX_COMMAND_CHARS)
    """The command line."""


class PythonArgs(Written):
    """Run a Python program in the workspace."""

    code: str = Field(min_length=1, max_length=MAX_CONTENT_CHARS)
    """The program's text."""
    argv: tuple[str, ...] = ()
    """What the program finds in `sys.argv[1:]`."""


class FileReadArgs(Written):
    """Read a text file of the workspace."""

    path: str = Field(min_length=1, max_length=1024)


class FileWriteArgs(Written):
    """Write a whole file of the workspace; folders are made as needed."""

    path: str = Field(min_length=1, max_length=1024)
    content: str = Field(max_length=MAX_CONTENT_CHARS)


class FileEditArgs(Written):
    """Replace a text that occurs exactly once in a file."""

    path: str = Field(min_length=1, max_length=1024)
    old: str = Field(min_length=1, max_length=MAX_CONTENT_CHARS)
    new: str = Field(max_length=MAX_CONTENT_CHARS)


class FileDeleteArgs(Written):
    """Delete a file of the workspace."""

    path: str = Field(min_length=1, max_length=1024)


ToolArgs = ShellArgs | PythonArgs | FileReadArgs | FileWriteArgs | FileEditArgs | FileDeleteArgs


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What is known of a tool before it runs."""

    name: str
    args: type[Written]
    effect: EffectClass

    @property
    def group(self) -> str:
        """What a goal's `tools` list names: the part before the dot."""
        return self.name.split(".", 1)[0]

    @property
    def description(self) -> str:
        """The first line of the arguments' docstring."""
        return (self.args.__doc__ or "").strip().splitlines()[0]


TOOLS: dict[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec("shell", ShellArgs, "workspace"),
        ToolSpec("python", PythonArgs, "workspace"),
        ToolSpec("file.read", FileReadArgs, "read"),
        ToolSpec("file.write", FileWriteArgs, "workspace"),
        ToolSpec("file.edit", FileEditArgs, "workspace"),
        ToolSpec("file.delete", FileDeleteArgs, "workspace"),
    )
}

#: What a goal's `tools` list may name.
TOOL_GROUPS: tuple[str, ...] = tuple(dict.fromkeys(spec.group for spec in TOOLS.values()))


def action_faults(action: Action, allowed: tuple[str, ...], path: str) -> list[Fault]:
    """Everything that is wrong with an action: unknown or forbidden tool, wrong arguments."""
    spec = TOOLS.get(action.tool)
    if spec is None:
        names = ", ".join(TOOLS)
        return [
            Fault(path=f"{path}.tool", message=f"'{action.tool}' is no tool; there are: {names}")
        ]
    if spec.group not in allowed:
        listed = ", ".join(allowed) or "none"
        message = f"'{action.tool}' is not allowed by this goal, whose tools are: {listed}"
        return [Fault(path=f"{path}.tool", message=message)]
    try:
        spec.args.model_validate(action.args)
    except ValidationError as error:
        return [
            Fault(path=".".join([path, "args", *map(str, item["loc"])]), message=item["msg"])
            for item in error.errors(include_url=False)
        ]
    return []
