"""The tools that a plan may call: names, typed arguments, effect classes. Pure.

The planner shows and validates them, the executor runs them, admission checks a playbook's use
of them; so they are stated once, here. What a tool does is the executor's.
"""

from loopwright.tools.action import Action, EffectClass, Isolation
from loopwright.tools.own import CommandResult, OwnTool, ToolCall, tool
from loopwright.tools.table import (
    DEFAULT_TOOLS,
    TOOL_GROUPS,
    TOOLS,
    ToolSpec,
    action_faults,
    plan_faults,
    register,
    tool_groups,
)

__all__ = [
    "DEFAULT_TOOLS",
    "TOOLS",
    "TOOL_GROUPS",
    "Action",
    "CommandResult",
    "EffectClass",
    "Isolation",
    "OwnTool",
    "ToolCall",
    "ToolSpec",
    "action_faults",
    "plan_faults",
    "register",
    "tool",
    "tool_groups",
]
