"""The command line of bubblewrap: what of the machine exists for a command."""

from __future__ import annotations

import shutil
from pathlib import Path

from loopwright.service.sandbox import landlock
from loopwright.service.sandbox.command import SandboxUnavailableError
from loopwright.service.sandbox.inside.confine import FILTER_FD
from loopwright.service.sandbox.paths import Rules

#: Bubblewrap itself and the first process of the namespace count against the limit.
PROCESSES = 2


def wrapper(rules: Rules, cwd: Path) -> list[str]:
    """Everything before the command; SandboxUnavailableError where there is no bubblewrap."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailableError("bwrap is not installed: install the package bubblewrap")
    line = [
        program, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL",
        "--dev", "/dev", "--proc", "/proc",
    ]  # fmt: skip
    for path, rights in rules:
        if path.startswith(("/dev/", "/proc/")):
            continue
        line += ["--bind" if rights & landlock.WRITE_FILE else "--ro-bind", path, path]
    # What is left of the new root is memory that no limit counts, so nothing is written there.
    line += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*line, "--chdir", str(cwd), "--seccomp", str(FILTER_FD), "--"]
