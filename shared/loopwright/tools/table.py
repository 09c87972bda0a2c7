"""Every tool there is, by name, and what is wrong with an action. Pure but for `register`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from loopwright.errors import Fault
from loopwright.spawn import SHOWN, SPAWN_TOOL, Spawn
from loopwright.tools import arguments as a
from loopwright.tools.action import Action, EffectClass, Isolation
from loopwright.wire import Json, Written


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What is known of a tool before it runs."""

    name: str
    args: type[Written]
    effect: EffectClass
    """The strongest that a call can have; some calls of the tool may have less."""
    min_isolation: Isolation = "none"
    """What must keep it in; where that cannot be had, it is refused."""
    shown: dict[str, Json] | None = None
    """JSON Schema that a planner is shown of the arguments, where that is less than all."""

    @property
    def schema(self) -> dict[str, Json]:
        """JSON Schema of the arguments, as a planner sees them."""
        return self.shown or self.args.model_json_schema()

    @property
    def group(self) -> str:
        """What a goal's `tools` list names: the part before the dot."""
        return self.name.split(".", 1)[0]

    @property
    def description(self) -> str:
        """The first line of the arguments' docstring."""
        return (self.args.__doc__ or self.name).strip().splitlines()[0]


TOOLS: dict[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec("shell", a.ShellArgs, "workspace"),
        ToolSpec("python", a.PythonArgs, "workspace"),
        ToolSpec("file.read", a.FileReadArgs, "read"),
        ToolSpec("file.write", a.FileWriteArgs, "workspace"),
        ToolSpec("file.edit", a.FileEditArgs, "workspace"),
        ToolSpec("file.patch", a.FilePatchArgs, "workspace"),
        ToolSpec("file.delete", a.FileDeleteArgs, "workspace"),
        ToolSpec("file.search", a.FileSearchArgs, "read"),
        ToolSpec("sql", a.SqlArgs, "workspace"),
        ToolSpec("http.get", a.HttpGetArgs, "read"),
        ToolSpec("http.request", a.HttpRequestArgs, "external_once"),
        ToolSpec("mcp.tools", a.McpToolsArgs, "read"),
        ToolSpec("mcp.call", a.McpCallArgs, "external_once"),
        ToolSpec(SPAWN_TOOL, Spawn, "workspace", shown=SHOWN),
    )
}

#: What comes with Loopwright; packages may add more.
TOOL_GROUPS: tuple[str, ...] = tuple(dict.fromkeys(spec.group for spec in TOOLS.values()))
#: What a goal that says nothing allows: nothing that reaches out of the workspace.
DEFAULT_TOOLS: tuple[str, ...] = ("shell", "python", "file", "sql")
#: A plan ends with it: what comes after could not know how the nested loop ends.
LAST = SPAWN_TOOL


def register(spec: ToolSpec) -> None:
    """Add a tool from a package, before anything is served; ValueError for a name that is taken."""
    known = TOOLS.get(spec.name)
    if known is not None and known != spec:
        raise ValueError(f"the tool '{spec.name}' is there already; give yours another name")
    if spec.group in TOOL_GROUPS and known is None:
        raise ValueError(f"'{spec.group}' is a built-in group; name the tool '<yours>.<what>'")
    TOOLS[spec.name] = spec


def tool_groups() -> tuple[str, ...]:
    """What a goal's `tools` list may name."""
    return tuple(dict.fromkeys(spec.group for spec in TOOLS.values()))


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


def plan_faults(actions: Sequence[Action], path: str) -> list[Fault]:
    """What is wrong with the actions together: a nested loop is a plan's last action."""
    return [
        Fault(path=f"{path}[{index}].tool", message=f"'{LAST}' must be the plan's last action")
        for index, action in enumerate(actions[:-1])
        if action.tool == LAST
    ]
