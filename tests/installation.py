"""The `loopwright` command on a data folder of its own, as a person would use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.prefix, "bin", "loopwright"))
#: A run of an example, with room for a busy machine.
RUN_S = 400.0


@dataclass
class Installation:
    """One data folder and the environment that its commands get."""

    data: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """A person's environment: nothing of this test run's leaks in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOOPWRIGHT_", "OPENAI_"))}
        return kept | {"LOOPWRIGHT_DATA": str(self.data), "LOOPWRIGHT_ACK_WAIT_S": "3", **self.env}

    def run(self, *words: str, timeout: float = RUN_S) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [COMMAND, *words],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: str, code: int | None = 0) -> Any:
        """Run one command with --json; its exit code must be `code`."""
        done = self.run(*words, "--json")
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [COMMAND, *words],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def runtime(self) -> dict[str, Any]:
        """What the running runtime has written about itself."""
        return dict(json.loads((self.data / "runtime.json").read_text()))

    def children(self) -> dict[str, int]:
        """Child name → process id."""
        found = {}
        for pid in descendants(self.runtime()["pid"]):
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:  # it has just died
                continue
            name = argv[2].removeprefix("loopwright_") if argv[1:2] == ["-m"] else argv[0]
            program = Path(name.split(" ")[0]).name  # some servers write more into their title
            found[program.removesuffix("-server")] = pid
        return found

    def kill(self, name: str) -> None:
        """`kill -9` one child."""
        pids = self.children()
        match = next(pid for child, pid in pids.items() if child.startswith(name))
        os.kill(match, signal.SIGKILL)

    def events(self, loop: str) -> list[dict[str, Any]]:
        """A loop's log."""
        done = self.run("log", loop, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]


def descendants(pid: int) -> list[int]:
    """Direct children of a process that still run."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    """Whether a process runs (one that is dead but not yet buried does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Any, seconds: float = 60.0) -> Any:
    """What a condition gives as soon as that is true."""
    deadline = monotonic() + seconds
    while not (value := condition()):
        assert monotonic() < deadline, f"not within {seconds} s; the last was {value!r}"
        sleep(0.05)
    return value


@contextmanager
def installation(data: Path, **env: str) -> Iterator[Installation]:
    """An installation that is taken down in the end."""
    one = Installation(data, env)
    try:
        yield one
    finally:
        one.run("down")


def prepare_penguins() -> None:
    """The demo's tables, out of the installed package."""
    subprocess.run([sys.executable, str(ROOT / "examples/clean-data/prepare.py")], check=True)
