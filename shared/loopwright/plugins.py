"""Tools from installed packages, found by the entry point group `loopwright.tools`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from loopwright.errors import SettingsError
from loopwright.tools import OwnTool, ToolSpec, register

GROUP = "loopwright.tools"


@cache
def load_own_tools() -> MappingProxyType[str, OwnTool[Any]]:
    """Register every installed tool once, at the start of a process; the tools by name.

    All processes of an installation need the same packages: admission, the planner and the
    executor each look a tool up. SettingsError where a package cannot be used.
    """
    found: dict[str, OwnTool[Any]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda item: item.name):
        try:
            own = entry.load()
            if not isinstance(own, OwnTool):
                raise TypeError("it is not made by @tool")  # noqa: TRY301
            register(ToolSpec(own.name, own.args, own.effect, own.min_isolation))
        except Exception as error:
            raise SettingsError(f"the tool {entry.name} ({entry.value}): {error}") from error
        found[own.name] = own
    return MappingProxyType(found)
