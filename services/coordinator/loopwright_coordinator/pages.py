"""Pages of the documents that are written from the coordinator's tables.

`python -m loopwright_coordinator.pages docs` writes them; with `--check` it says what has drifted.
"""

from __future__ import annotations

import sys

from loopwright.contract import publish
from loopwright_coordinator.policy import table


def pages() -> dict[str, str]:
    """The text of every page, by its place below `docs`."""
    return {"errors.md": table()}


if __name__ == "__main__":
    sys.exit(publish(pages(), sys.argv[1:]))
