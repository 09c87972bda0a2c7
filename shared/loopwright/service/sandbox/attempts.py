"""What the probe tries inside the sandbox; run as a program, it prints a line for each attempt.

Arguments: the workspace, a folder outside, a file outside, a TCP port, a unix socket's path.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Try everything; the exit code says nothing."""
    workspace, outside, secret, port, path = sys.argv[1:]
    attempts: dict[str, Callable[[], object]] = {
        "write inside the workspace": lambda: Path(workspace, "probe").write_text("x"),
        "write outside the workspace": lambda: Path(outside, "probe").write_text("x"),
        "read a file outside": lambda: Path(secret).read_text(),
        "connect over TCP": lambda: socket.create_connection(("127.0.0.1", int(port)), 2),
        "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "connect to a unix socket": lambda: socket.socket(socket.AF_UNIX).connect(path),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            # What exists outside and not in here is denied too, as is what cannot be written.
            denied = error.errno in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS)
            print(f"{name}\t{'denied' if denied else error}")  # noqa: T201
        else:
            print(f"{name}\tdone")  # noqa: T201


if __name__ == "__main__":
    main()
