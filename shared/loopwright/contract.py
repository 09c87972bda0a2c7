"""The published contract: JSON Schemas generated from the models.

`python -m loopwright.contract docs/contract` writes them; with `--check` it says what has drifted
and exits 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from loopwright.chain import LoopEvent, ResultEvent
from loopwright.control import Cancel
from loopwright.goal import Goal
from loopwright.wire import Json

#: File name → model and the title that editors show.
PUBLISHED: dict[str, tuple[type[BaseModel], str]] = {
    "goal.json": (Goal, "A Loopwright goal"),
    "control.json": (Cancel, "A control message"),
    "event.json": (LoopEvent, "An event of a loop's log"),
    "result.json": (ResultEvent, "A worker's result"),
}


def schemas() -> dict[str, Json]:
    """Every published schema by file name."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(by_alias=True),
            "title": title,
        }
        for name, (model, title) in PUBLISHED.items()
    }


def rendered() -> dict[str, str]:
    """The files' text, the same for the same models."""
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas().items()}


def drifted(folder: Path) -> list[str]:
    """Names of the files that are not what the models say."""
    return [
        name
        for name, text in rendered().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write or check the schemas in a folder."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m loopwright.contract FOLDER [--check]\n")
        return 2
    folder = Path(arguments[0])
    if "--check" in arguments[1:]:
        stale = drifted(folder)
        for name in stale:
            sys.stderr.write(f"{folder / name} has drifted; write it anew with: make contract\n")
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
