"""A field's fault in a sentence: what is wrong with it, what is allowed, an example."""

from __future__ import annotations

from loopwright.checks import CHECK_KINDS
from loopwright.errors import Fault
from loopwright.wire import Json

#: What the fields look like that a goal cannot do without.
EXAMPLES = {
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
            example = EXAMPLES.get(path)
            return "Field required" + (f"; for example `{example}`" if example else "")
        case "value_error":
            return str(item["msg"]).removeprefix("Value error, ")
        case _:
            given = item.get("input")
            shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
            return f"{item['msg']}{shown if len(shown) <= 80 else ''}"
