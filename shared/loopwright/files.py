"""Goal files: YAML or JSON to a goal, with every fault at its line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from loopwright.errors import Fault, GoalInvalidError
from loopwright.goal import Goal, parse_goal

#: A goal file is text that a person wrote.
MAX_FILE_BYTES = 1024 * 1024


def read_goal(path: Path, *, model: str | None = None) -> Goal:
    """The goal in a file; `model` takes the place of the one that the file names.

    Raises GoalInvalidError with every fault, its line and what is allowed.
    """
    lines = Lines()
    data = load(path, lines)
    if model is not None:
        planner = data.get("planner") if isinstance(data, dict) else None
        if not isinstance(planner, dict) or planner.get("backend") != "openai":
            raise _invalid("planner.backend", "--model needs a goal with `backend: openai`")
        planner["model"] = model
    try:
        return parse_goal(data)
    except GoalInvalidError as error:
        raise GoalInvalidError([lines.place(fault) for fault in error.faults]) from error


def load(path: Path, lines: Lines) -> Any:
    """The file's data, its lines noted; GoalInvalidError in a sentence where it is no YAML."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _invalid("", f"{path} has more than {MAX_FILE_BYTES} bytes; that is no goal file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _invalid("", f"{path} is no UTF-8 text") from error
    except OSError as error:
        raise _invalid("", f"{path}: {error.strerror}; write one with: loopwright init") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise _invalid("", f"{path} is empty; write a goal with: loopwright init")
        lines.note(node, "")
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        message = f"this is no YAML: {error.problem or error}"
        fault = Fault(path="", message=message, line=mark.line + 1 if mark else None)
        raise GoalInvalidError([fault]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _invalid("", f"this is no YAML: {error}") from error


@dataclass(slots=True)
class Lines:
    """Where each path of a file stands."""

    of: dict[str, int] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def note(self, node: Node, path: str) -> None:
        """Remember the line of a node and of everything in it."""
        self.of.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode):
                    inner = f"{path}.{key.value}" if path else str(key.value)
                    self.of[inner] = key.start_mark.line + 1
                    self.note(value, inner)
        elif isinstance(node, SequenceNode):
            for index, value in enumerate(node.value):
                self.note(value, f"{path}[{index}]")

    def place(self, fault: Fault) -> Fault:
        """The fault with the line of its path, or of the nearest thing around it."""
        path, message = fault.path, fault.message
        if "no such field" in message:
            message = _nearest(path, message)
        while path and path not in self.of:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        line = self.of.get(path, 1)
        return fault.model_copy(update={"line": line, "message": message})


def _nearest(path: str, message: str) -> str:
    """For an unknown field, the known name that was probably meant, or where this one belongs."""
    name = path.rsplit(".", 1)[-1]
    schema = Goal.model_json_schema(by_alias=True)
    models = [schema, *schema["$defs"].values()]
    known = {name for model in models for name in model.get("properties", {})}
    if name in schema["properties"]:
        return f"{message}; `{name}` belongs at the top of the goal"
    close = difflib.get_close_matches(name, sorted(known - {name}), n=1, cutoff=0.7)
    return f"{message}; did you mean `{close[0]}`?" if close else message


def _invalid(path: str, message: str) -> GoalInvalidError:
    return GoalInvalidError([Fault(path=path, message=message)])


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that is given twice: the first would be lost silently."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"'{key.value}' is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"  # `on` is a name here, whatever YAML 1.1 says
        return super().construct_mapping(node, deep=deep)
