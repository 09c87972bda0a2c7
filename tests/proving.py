"""The proofs of `make` in a process of their own: what nats-py leaves behind stays there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def figures(module: str, *words: str, seconds: float = 240.0) -> dict[str, Any]:
    """Run `python -m module words` to its end; the figures of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.stdout, done.stderr
    *sentences, last = done.stdout.splitlines()
    assert done.returncode == 0, "\n".join([*sentences, last, done.stderr])
    return dict(json.loads(last))
