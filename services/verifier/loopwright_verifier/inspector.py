"""The sandboxed program that reads a revision's files: checks in, one line a check out.

`python -m loopwright_verifier.inspector TREE [HELD_OUT]`, an Order as JSON on standard input. It
judges one after the other and prints each result before it begins the next, so a check that hangs
or kills it takes no other with it: its parent goes on behind it in a new one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from loopwright_verifier.contents import ContentCheck, inspect


class Order(BaseModel):
    """What the inspector is to judge."""

    checks: list[Annotated[ContentCheck, Field(discriminator="kind")]]
    changed: list[str] = []
    """Paths that differ from the goal's workspace."""


def main(arguments: list[str]) -> None:
    """Judge what comes in."""
    tree = Path(arguments[0])
    held_out = Path(arguments[1]) if len(arguments) > 1 else None
    order = Order.model_validate_json(sys.stdin.buffer.read())
    for check in order.checks:
        sys.stdout.write(inspect(check, tree, held_out, order.changed).model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
