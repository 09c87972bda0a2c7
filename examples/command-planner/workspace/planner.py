"""A planner of forty lines: it reads where the loop stands and says what to do next.

Standard input is the context as JSON, standard output the plan as JSON. What it writes to standard
error is shown where it fails. An agent of your own has the same place.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

WANTED = {"title": r"^# .+", "install": "^## Install", "usage": "^## Usage"}
TEXTS = {
    "title": "# Widget\n\nTurns things round.\n",
    "install": "\n## Install\n\n    pip install widget\n",
    "usage": "\n## Usage\n\n    widget --help\n",
}


def plan(context: dict[str, Any]) -> dict[str, Any]:
    """Write the first part of README.md that is missing; it sees a checkout of the workspace."""
    readme = Path("README.md")
    text = readme.read_text() if readme.exists() else ""
    missing = [name for name, pattern in WANTED.items() if not re.search(pattern, text, re.M)]
    if not missing:
        return {"summary": "nothing is missing; please verify", "actions": []}
    content = text + TEXTS[missing[0]]
    action = {"tool": "file.write", "args": {"path": "README.md", "content": content}}
    number = context["iteration"]
    return {"summary": f"iteration {number}: write the {missing[0]}", "actions": [action]}


if __name__ == "__main__":
    json.dump(plan(json.load(sys.stdin)), sys.stdout)
