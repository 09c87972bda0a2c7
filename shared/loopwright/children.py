"""The goals of the loops that a loop starts, and why they cannot be started. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from loopwright.errors import Fault, GoalInvalidError
from loopwright.goal import Goal, Playbook, own_faults
from loopwright.plan import Plan
from loopwright.spawn import SPAWN_TOOL, Child, Spawn, drafts
from loopwright.tools import Action


def spawned_by(plan: Plan | None) -> Spawn | None:
    """The loops that a plan starts with its last action, if it does."""
    if plan is None or not plan.actions or plan.actions[-1].tool != SPAWN_TOOL:
        return None
    return Spawn.model_validate(plan.actions[-1].args)


def pattern_plan(pattern: Spawn) -> Plan:
    """The first plan of a goal with a pattern: it is the goal's own, nobody is asked for it."""
    args = pattern.model_dump(mode="json", by_alias=True, exclude_none=True)
    summary = f"{pattern.pattern.replace('_', ' ')}: {', '.join(c.name for c in pattern.children)}"
    return Plan(summary=summary[:4000], actions=(Action(tool=SPAWN_TOOL, args=args),))


def child_goals(goal: Goal, spawn: Spawn) -> list[tuple[Child, Goal]]:
    """Each child with its goal, budgets not yet carved; GoalInvalidError with every fault."""
    parent = goal.model_dump(mode="json", by_alias=True, exclude_none=True)
    made, faults = [], []
    for index, draft in enumerate(drafts(parent, spawn)):
        try:
            child = Goal.model_validate(draft.goal)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            faults.append(Fault(path=f"children[{index}].{where}", message=first["msg"]))
            continue
        faults += [
            Fault(path=f"children[{index}].{fault.path}", message=fault.message)
            for fault in own_faults(child)
        ]
        made.append((draft.child, child))
    faults += _same_names([child.name for child, _ in made])
    if faults:
        raise GoalInvalidError(faults)
    return made


def _same_names(names: list[str]) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"'{name}' is used twice; children have names of their own"
            yield Fault(path=f"children[{index}].name", message=message)


def spawn_faults(goal: Goal, spawn: Spawn, started: int, path: str) -> list[Fault]:
    """Why a loop of this goal, which has `started` loops so far, cannot start these."""
    nesting = goal.nesting
    if nesting.depth < 1:
        message = "no loop may be started below this one; raise nesting.depth of the root"
        return [Fault(path=path, message=message)]
    count = len(spawn.children) * max(1, len(spawn.items))
    if started + count > nesting.fan_out:
        message = (
            f"{count} loops are to be started after {started}, "
            f"nesting.fan_out allows {nesting.fan_out}"
        )
        return [Fault(path=path, message=message)]
    try:
        child_goals(goal, spawn)
    except GoalInvalidError as error:
        return [Fault(path=f"{path}.{f.path}", message=f.message) for f in error.faults]
    return []


def goal_spawn_faults(goal: Goal) -> list[Fault]:
    """What is wrong with the loops that a goal itself, or its playbook, starts."""
    faults = spawn_faults(goal, goal.pattern, 0, "pattern") if goal.pattern is not None else []
    if not isinstance(goal.planner, Playbook) or goal.nesting.depth < 1:
        return faults
    for index, rule in enumerate(goal.planner.rules):
        where = f"planner.rules[{index}].do"
        spawn = spawned_by(Plan(summary="", actions=rule.do))
        if spawn is not None:
            faults += spawn_faults(goal, spawn, 0, f"{where}[{len(rule.do) - 1}].args")
    return faults
