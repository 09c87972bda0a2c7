"""A field's fault in a sentence: what is wrong with it, what is allowed, an example."""

from __future__ import annotations

import re

from loopwright.checks import CHECK_KINDS
from loopwright.errors import Fault
from loopwright.wire import Json

#: What fields look like, by their paths without positions in lists.
EXAMPLES = {
    "version": "version: 1",
    "constraints": "constraints: [Keep it small.]",
    "workspace": "workspace: {folder: src}",
    "workspace.files": 'workspace: {files: {a.txt: "hello"}}',
    "budget": "budget: {iterations: 5, usd: 1, time: 10m}",
    "budget.iterations": "iterations: 5",
    "budget.tokens": "tokens: 200000",
    "budget.usd": 'usd: "1.50"',
    "budget.actions": "actions: 50",
    "budget.time": "time: 10m",
    "on_exhausted": "on_exhausted: hold",
    "approvals": "approvals: [plan]",
    "limits": "limits: {action_time: 2m}",
    "notify": 'notify: [{webhook: "https://example.com/hook", on: [end]}]',
    "planner.rules.when": "when: {start: true}",
    "planner.rules.times": "times: 2",
    "planner.rules.do": "do: [{tool: shell, args: {run: make}}]",
    "verify.checks.required": "required: false",
    "verify.checks.weight": "weight: 2",
    "verify.checks.timeout": "timeout: 30s",
    "verify.checks.path": "path: result.csv",
    "verify.checks.run": 'run: "make check"',
    "name": "name: tidy-table",
    "objective": "objective: Every test in test_durations.py passes.",
    "planner": "planner: {backend: openai, model: MODEL}",
    "planner.model": "model: MODEL",
    "planner.rules": "rules: [{name: work, when: {start: true}, do: [{tool: shell, args: "
    "{run: make}}]}]",
    "verify": "verify: {checks: [{name: tests, kind: test_report, paths: [test_durations.py]}]}",
    "verify.checks": "checks: [{name: exists, kind: file, path: result.csv}]",
}
_TAGS = CHECK_KINDS | {"playbook", "openai", "command"}


def fault_of(item: Json) -> Fault:
    """A pydantic error as a fault: tags of unions are no part of the path."""
    path = ""
    for part in item["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _TAGS:
            path += f".{part}" if path else str(part)
    return Fault(path=path, message=_message(item, path))


def _message(item: Json, path: str) -> str:
    match item["type"]:
        case "extra_forbidden":
            return "there is no such field; see the schema, or remove it"
        case "missing":
            return "Field required" + _example(path)
        case "value_error":
            return str(item["msg"]).removeprefix("Value error, ") + _example(path)
        case _:
            given = item.get("input")
            shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
            return f"{item['msg']}{shown if len(shown) <= 80 else ''}{_example(path)}"


def _example(path: str) -> str:
    example = EXAMPLES.get(re.sub(r"\[\d+\]", "", path))
    return f"; for example `{example}`" if example else ""
