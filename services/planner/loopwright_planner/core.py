"""What the planner decides: which rule of a playbook applies, which plan may leave. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from loopwright.errors import ErrorKind, StepError
from loopwright.plan import Plan, Verdict
from loopwright.planners import Rule
from loopwright.playbook import applicable
from loopwright.tools import TOOLS, Action, action_faults, plan_faults
from loopwright.workspace.errors import WorkspacePathError
from loopwright.workspace.paths import check_path, matches

#: Tools that change the file that their `path` names.
_WRITING = frozenset({"file.write", "file.edit", "file.delete"})
#: The fields of a plan that its author fills; the others say how it was made.
SAID = ("summary", "actions", "remember", "claims_met", "question")
#: More faults than this teach a model nothing.
MAX_FAULTS = 10


def plan_by_rule(
    rules: tuple[Rule, ...],
    verdict: Verdict | None,
    rule_uses: Mapping[str, int],
    before: tuple[str, ...] = (),
) -> Plan:
    """The plan of the first rule that applies and is not used up; StepError if there is none.

    `before` are the checks that did not pass where a forked loop begins.
    """
    found = applicable(rules, verdict, rule_uses, before)
    if found is None:
        raise StepError("no_rule_applies", _no_rule(rules, verdict, rule_uses))
    rule, why = found
    nth = f" (use {rule_uses.get(rule.name, 0) + 1} of {rule.times})" if rule.times > 1 else ""
    return Plan(summary=f"{rule.name}{nth}: {why}", actions=rule.do, rule=rule.name)


def _no_rule(rules: tuple[Rule, ...], verdict: Verdict | None, uses: Mapping[str, int]) -> str:
    state = f"failing: {_listed(verdict.failing)}" if verdict else "nothing was verified yet"
    spent = [rule.name for rule in rules if uses.get(rule.name, 0) >= rule.times]
    used_up = f"used up: {_listed(spent)}" if spent else "no rule is used up"
    way_out = "add a rule for what fails, or raise the `times` of one"
    return f"no rule of the playbook applies ({state}; {used_up}); {way_out}"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a proposed plan may not leave, in words that its author can act on."""

    kind: ErrorKind
    message: str


def read_plan(text: str, tools: tuple[str, ...], protected: tuple[str, ...]) -> Plan | Refused:
    """The plan in a model's answer, if it is one and everything in it is allowed."""
    try:
        data = json.loads(_unwrapped(text))
    except (ValueError, RecursionError) as error:
        return Refused("invalid_output", f"the answer is no JSON: {error}")
    if not isinstance(data, dict):
        return Refused("invalid_output", "the answer must be one JSON object")
    try:
        # Strict mode has every field of every action present; what is null was left out. Only
        # these fields are the model's to say.
        plan = Plan.model_validate({key: data[key] for key in SAID if data.get(key) is not None})
    except ValidationError as error:
        return Refused("invalid_output", f"the answer is no plan: {_faults(error)}")
    return refusal(plan, tools, protected) or plan


def refusal(plan: Plan, tools: tuple[str, ...], protected: tuple[str, ...]) -> Refused | None:
    """Why a well-formed plan may not leave: its tools, their arguments, the paths they write."""
    found = [
        fault
        for index, action in enumerate(plan.actions)
        for fault in _action_refusals(action, f"actions.{index}", tools, protected)
    ]
    found += [
        Refused("invalid_arguments", fault.message)
        for fault in plan_faults(plan.actions, "actions")
    ]
    if not found:
        return None
    message = "; ".join(fault.message for fault in found[:MAX_FAULTS])
    return Refused(found[0].kind, f"the plan is not allowed: {message}")


def _action_refusals(
    action: Action, where: str, tools: tuple[str, ...], protected: tuple[str, ...]
) -> list[Refused]:
    faults = action_faults(action, tools, where)
    if faults:
        kind = _kind(action, tools)
        return [Refused(kind, f"{fault.path}: {fault.message}") for fault in faults]
    path = action.args.get("path")
    if not isinstance(path, str):
        return []
    try:
        check_path(path)
    except WorkspacePathError as error:
        return [Refused("invalid_arguments", f"{where}.args.path: {error}")]
    if action.tool in _WRITING and matches(path, protected):
        message = f"{where}.args.path: '{path}' is protected; its change would be undone"
        return [Refused("permission_denied", message)]
    return []


def _kind(action: Action, tools: tuple[str, ...]) -> ErrorKind:
    spec = TOOLS.get(action.tool)
    if spec is None:
        return "tool_not_found"
    return "invalid_arguments" if spec.group in tools else "permission_denied"


def _faults(error: ValidationError) -> str:
    listed = error.errors(include_url=False, include_input=False)[:MAX_FAULTS]
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in listed)


def _unwrapped(text: str) -> str:
    """The text without the Markdown fence that models like to put around JSON."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        return bare[bare.index("\n") : -3]
    return bare
