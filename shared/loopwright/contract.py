"""The published contract, generated from the code: JSON Schemas, AsyncAPI, the states.

`python -m loopwright.contract docs` writes them; with `--check` it says what has drifted and
exits 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from loopwright.asyncapi import document
from loopwright.chain import LoopEvent, ResultEvent
from loopwright.control import CONTROL
from loopwright.goal import Goal
from loopwright.states import diagram
from loopwright.wire import Json

#: File name → model and the title that editors show.
PUBLISHED: dict[str, tuple[TypeAdapter[Json], str]] = {
    "goal.json": (TypeAdapter(Goal), "A Loopwright goal"),
    "control.json": (CONTROL, "A control message"),
    "event.json": (TypeAdapter(LoopEvent), "An event of a loop's log"),
    "result.json": (TypeAdapter(ResultEvent), "A worker's result"),
}


def schemas() -> dict[str, Json]:
    """Every published schema by file name."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.json_schema(by_alias=True),
            "title": title,
        }
        for name, (model, title) in PUBLISHED.items()
    }


def goal_schema() -> Json:
    """The schema of what people write, as `loopwright schema` prints it."""
    return schemas()["goal.json"]


def text_of(schema: Json) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2) + "\n"


def files() -> dict[str, str]:
    """The text of every generated file, by its place below `docs`."""
    rendered = {f"contract/{name}": text_of(schema) for name, schema in schemas().items()}
    messages = text_of(document())
    return {**rendered, "contract/asyncapi.json": messages, "states.md": diagram()}


def publish(generated: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Write generated files below a folder, or with `--check` say which have drifted."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write("usage: FOLDER [--check]\n")
        return 2
    folder, stale = Path(arguments[0]), 0
    for name, text in generated.items():
        file = folder / name
        if "--check" not in arguments[1:]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{file} has drifted; write it anew with: make contract\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(publish(files(), sys.argv[1:]))
