"""The arguments of each built-in tool. The first line of a docstring is what a planner reads."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from loopwright.wire import Json, Written

#: A file's text in a plan, in characters; larger files come from a command.
MAX_CONTENT_CHARS = 400_000
#: A command line; the kernel takes no argument of 128 KiB.
MAX_COMMAND_CHARS = 30_000
#: What an action may send over HTTP, in characters.
MAX_BODY_CHARS = 400_000

Path = Annotated[str, Field(min_length=1, max_length=1024)]


def _object(value: object) -> object:
    """A JSON object as such or as text: strict schemas of models cannot say an open object."""
    return json.loads(value) if isinstance(value, str) else value


#: An object of any shape. Models write it as JSON text.
OpenObject = Annotated[
    dict[str, Json],
    BeforeValidator(_object),
    WithJsonSchema({"type": "string", "description": "a JSON object, as text"}),
]


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

    path: Path


class FileWriteArgs(Written):
    """Write a whole file of the workspace; folders are made as needed."""

    path: Path
    content: str = Field(max_length=MAX_CONTENT_CHARS)


class FileEditArgs(Written):
    """Replace a text that occurs exactly once in a file."""

    path: Path
    old: str = Field(min_length=1, max_length=MAX_CONTENT_CHARS)
    new: str = Field(max_length=MAX_CONTENT_CHARS)


class FilePatchArgs(Written):
    """Apply a unified diff (paths relative to the workspace, as `git diff` writes it)."""

    patch: str = Field(min_length=1, max_length=MAX_CONTENT_CHARS)


class FileDeleteArgs(Written):
    """Delete a file of the workspace."""

    path: Path


class FileSearchArgs(Written):
    """Find lines that match a regular expression: path, line number and line of each."""

    pattern: str = Field(min_length=1, max_length=1000)
    glob: str = Field(default="**", min_length=1, max_length=200)
    """Which files, as `src/**/*.py`."""
    limit: int = Field(default=100, ge=1, le=1000)


class HttpGetArgs(Written):
    """GET a URL of an allowed host; the body is shown, or saved to a file of the workspace."""

    url: str = Field(pattern=r"^https?://[^\s]+$", max_length=4000)
    headers: tuple[str, ...] = Field(default=(), max_length=50)
    """Each as `Name: value`; `${secret:NAME}` stands for a secret that the goal lists."""
    save_to: str | None = Field(default=None, min_length=1, max_length=1024)
    """A path of the workspace."""


class HttpRequestArgs(Written):
    """Send a request that changes something at an allowed host."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    url: str = Field(pattern=r"^https?://[^\s]+$", max_length=4000)
    headers: tuple[str, ...] = Field(default=(), max_length=50)
    """Each as `Name: value`; `${secret:NAME}` stands for a secret that the goal lists."""
    body: str = Field(default="", max_length=MAX_BODY_CHARS)


class SqlArgs(Written):
    """Run SQL with DuckDB over the workspace's files: `SELECT * FROM 'data.csv'`."""

    query: str = Field(min_length=1, max_length=100_000)
    limit: int = Field(default=100, ge=1, le=10_000)
    """Rows that are shown."""


class McpToolsArgs(Written):
    """List the tools of an MCP server that the goal names, with their arguments."""

    server: str = Field(min_length=1, max_length=64)


class McpCallArgs(Written):
    """Call a tool of an MCP server that the goal names."""

    server: str = Field(min_length=1, max_length=64)
    tool: str = Field(min_length=1, max_length=200)
    arguments: OpenObject = Field(default_factory=dict)
