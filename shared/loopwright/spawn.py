"""Loops below a loop, as people and planners write them: which, how they are joined, how deep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loopwright.budget import Usd
from loopwright.checks import Verify
from loopwright.wire import Json, Seconds, Written

#: The tool that a plan's last action calls to start loops.
SPAWN_TOOL = "spawn_loop"

Pattern = Literal["nested", "race", "best_of", "map"]
ChildName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9{][A-Za-z0-9_.{}-]{0,63}$")]
Item = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
#: A folder of the workspace; no part of it may lead out.
_FOLDER = r"^[A-Za-z0-9_{][A-Za-z0-9_.{}-]*(/[A-Za-z0-9_{][A-Za-z0-9_.{}-]*)*$"
#: What an item stands for in a child's texts.
_PLACE = "{item}"


class Share(Written):
    """What a child may spend at most; what is left out is an equal share of what is left."""

    iterations: int | None = Field(default=None, ge=1, le=10_000)
    tokens: int | None = Field(default=None, ge=1)
    usd: Usd | None = None
    actions: int | None = Field(default=None, ge=1)
    time: Seconds | None = None


class Child(Written):
    """One loop to start; what is left out is as in the loop that starts it."""

    name: ChildName
    """`{item}` stands for the item, here and in every text below."""
    objective: str | None = Field(default=None, min_length=1, max_length=20_000)
    constraints: tuple[str, ...] | None = Field(default=None, max_length=100)
    planner: dict[str, Json] | None = None
    """As a goal's `planner`."""
    tools: tuple[str, ...] | None = None
    verify: Verify | None = None
    budget: Share = Share()
    workspace: Literal["copy", "empty"] = "copy"
    """What it starts from: a copy of this loop's workspace, or nothing."""
    into: str | None = Field(default=None, pattern=_FOLDER, max_length=500)
    """The folder that its work is put into; the workspace itself otherwise."""
    take: tuple[str, ...] = Field(default=("**",), min_length=1, max_length=100)
    """Patterns of the files that are taken over, of those that it changed."""


class Spawn(Written):
    """Start loops below this one and take over what they make; the last action of a plan.

    `nested` and `map` take over every child's work, `race` that of the first which is verified,
    `best_of` that of the one with the highest score.
    """

    pattern: Pattern = "nested"
    children: tuple[Child, ...] = Field(min_length=1, max_length=64)
    items: tuple[Item, ...] = Field(default=(), max_length=64)
    """Each child is started once for each of these."""


_TEXT_OR_NONE: dict[str, Json] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
#: What a model is shown of a spawn: the loops share its planner, its checks and its budget.
SHOWN: dict[str, Json] = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "enum": ["nested", "race", "best_of", "map"]},
        "children": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "objective": {"type": "string"},
                    "into": _TEXT_OR_NONE,
                },
            },
        },
    },
}


class Nesting(Written):
    """How far loops may start loops; set at the root, inherited by every loop below it."""

    depth: int = Field(default=1, ge=0, le=8)
    """Levels of loops below this one; 0 starts none."""
    fan_out: int = Field(default=16, ge=1, le=256)
    """Loops that one loop may start, all its life."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A child of one item, and its goal as JSON, before it has a budget of its own."""

    child: Child
    goal: dict[str, Json]


def drafts(parent: dict[str, Json], spawn: Spawn) -> Iterator[Draft]:
    """The children of a spawn, one for each item; `parent` is the goal of the loop as JSON.

    A child asks nobody (no approvals, no notifications) and does not wait for more budget: its
    budget is a slice of its parent's.
    """
    depth = parent["nesting"]["depth"] if "nesting" in parent else Nesting().depth
    fan_out = parent["nesting"]["fan_out"] if "nesting" in parent else Nesting().fan_out
    kept = {key: value for key, value in parent.items() if key not in _OWN}
    for child in spawn.children:
        for item in spawn.items or ("",):
            given = child if not item else _of_item(child, item, alone=len(spawn.items) == 1)
            own = given.model_dump(mode="json", by_alias=True, exclude_none=True, include=_GIVEN)
            workspace = {} if given.workspace == "empty" else parent.get("workspace", {})
            nesting = {"depth": max(0, depth - 1), "fan_out": fan_out}
            fixed = {"workspace": workspace, "nesting": nesting, "on_exhausted": "stop"}
            yield Draft(given, _reaching(kept | own | fixed))


#: Parts of a goal that are of the loop itself.
_OWN = frozenset({"id", "pattern", "nesting", "approvals", "notify", "origin", "workspace"})
#: Parts of a child that are parts of a goal.
_GIVEN = {"name", "objective", "constraints", "planner", "tools", "verify"}


def _reaching(goal: dict[str, Json]) -> dict[str, Json]:
    """The goal without servers that its tools can no longer call."""
    if "mcp" in goal.get("tools", ()):
        return goal
    return {key: value for key, value in goal.items() if key != "mcp"}


def _of_item(child: Child, item: str, *, alone: bool) -> Child:
    data = child.model_dump(mode="json", by_alias=True, exclude_none=True)
    if _PLACE not in child.name and not alone:
        data["name"] = f"{child.name}-{_PLACE}"
    return Child.model_validate(_replaced(data, item))


def _replaced(value: Json, item: str) -> Json:
    if isinstance(value, str):
        return value.replace(_PLACE, item)
    if isinstance(value, dict):
        return {key: _replaced(part, item) for key, part in value.items()}
    return [_replaced(part, item) for part in value] if isinstance(value, list) else value
