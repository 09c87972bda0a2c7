"""Lines of the workspace's files that match a pattern, printed as `path:number:line`.

In the sandbox, since a pattern can be made to take for ever and a file to be endless.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

#: Larger files, and longer lines, are left out of a search.
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_LINE_CHARS = 400


def main() -> int:
    """Arguments come as JSON on standard input; 0 where something was found, as grep has it."""
    asked = json.load(sys.stdin)
    pattern, left = re.compile(asked["pattern"]), int(asked["limit"])
    found = 0
    for path, number, line in matches(pattern, asked["glob"]):
        if found == left:
            print("… more lines match; narrow the search")  # noqa: T201
            break
        print(f"{path}:{number}:{line[:MAX_LINE_CHARS]}")  # noqa: T201
        found += 1
    if not found:
        print("no line matches", file=sys.stderr)  # noqa: T201
    return 0 if found else 1


def matches(pattern: re.Pattern[str], glob: str) -> Iterator[tuple[str, int, str]]:
    """Every match in files in the order of their names; links are not followed."""
    wanted = glob if not glob.endswith("**") else f"{glob}/*"
    for path in sorted(Path().glob(wanted)):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            continue
        text = path.read_bytes()
        if b"\0" in text[:8000]:
            continue
        for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
            if pattern.search(line):
                yield str(path), number, line


if __name__ == "__main__":
    sys.exit(main())
