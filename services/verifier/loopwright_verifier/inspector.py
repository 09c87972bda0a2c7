"""The sandboxed program that reads a revision's files: checks in, one line a check out.

`python -m loopwright_verifier.inspector TREE [HELD_OUT]`, the checks as a JSON list on standard
input. It judges one after the other and prints each result before it begins the next, so a check
that hangs or kills it takes no other with it: its parent goes on behind it in a new one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

from loopwright.checks import Check, FileCheck, JsonSchemaCheck, RegexCheck, TableCheck
from loopwright_verifier.contents import inspect

CHECKS: TypeAdapter[list[Check]] = TypeAdapter(list[Check])


def main(arguments: list[str]) -> None:
    """Judge what comes in."""
    tree = Path(arguments[0])
    held_out = Path(arguments[1]) if len(arguments) > 1 else None
    for check in CHECKS.validate_json(sys.stdin.buffer.read()):
        if isinstance(check, FileCheck | RegexCheck | JsonSchemaCheck | TableCheck):
            sys.stdout.write(inspect(check, tree, held_out).model_dump_json() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
