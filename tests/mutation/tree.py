"""A copy of the checkout in which one guard at a time is taken out, its test run, and put back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from time import monotonic
from typing import Literal
from xml.etree import ElementTree

from mutation.mutant import ROOT, Mutant

#: How long all tests together may take with every guard in, in seconds.
WHOLE_S = 3600.0
#: How long a test may take without its guard: this, in seconds, …
PATIENCE_S = 90.0
#: … and so many times what it takes with the guard.
PATIENCE = 10.0
#: What pytest returns where tests ran and some failed.
RED = 1

Verdict = Literal["caught", "hung", "MISSED", "ERROR"]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one mutant."""

    verdict: Verdict
    """`hung`: its test came to no end, which is red too. `ERROR`: none ran: nothing is known."""
    said: str
    seconds: float = 0.0

    @property
    def proven(self) -> bool:
        """Whether a test has noticed."""
        return self.verdict in ("caught", "hung")


class Tree:
    """A copy of the checkout; nothing else may work in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._edits = 0
        for name in _names():
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        (root / ".venv").symlink_to(ROOT / ".venv")
        members = [root / "shared", root / "cli", *(root / "services").iterdir()]
        path = os.pathsep.join(str(folder) for folder in members)
        # Without kept bytecode every row would compile all that it imports.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.env = {**kept, "PYTHONPATH": path}
        where = self._python("-c", "import loopwright; print(loopwright.__file__)")
        if not Path(where).is_relative_to(root):
            raise RuntimeError(f"the copy in {root} is not what is imported: {where} is")
        self._warm = subprocess.Popen(
            [sys.executable, "-P", root / "tests/mutation/warm.py"],
            cwd=root,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End what runs the tests."""
        self._warm.communicate()

    def _python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        ran = subprocess.run(command, cwd=self.root, env=self.env, check=True, stdout=PIPE)
        return ran.stdout.decode().strip()

    def _pytest(self, limit_s: float, *arguments: str) -> tuple[int | None, str]:
        """What pytest returned and said; None where it came to no end."""
        output = self.root / ".said"
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
        asked = {"arguments": options, "output": str(output), "limit_s": limit_s}
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.write(json.dumps(asked) + "\n")
        self._warm.stdin.flush()
        code = json.loads(self._warm.stdout.readline())["code"]
        return code, output.read_text(encoding="utf-8", errors="replace")

    def with_guards(self, nodes: list[str]) -> dict[str, float]:
        """Run tests with every guard in: test → its seconds, of those that pass."""
        report = self.root / ".report.xml"
        _, said = self._pytest(WHOLE_S, f"--junitxml={report}", *nodes)
        if not report.exists():
            raise RuntimeError(f"the tests cannot be run: {said[-2000:]}")
        return passed(report.read_text(encoding="utf-8"), nodes)

    def without(self, mutant: Mutant, usual_s: float) -> Found:
        """Run a mutant's test with its guard taken out."""
        path = self.root / mutant.file
        source, times = path.read_text(encoding="utf-8"), path.stat()
        began = monotonic()
        try:
            path.write_text(mutant.applied(source), encoding="utf-8")
            # Kept bytecode is known by its source's size and second: no two edits share a second.
            self._edits += 1
            os.utime(path, (times.st_atime, times.st_mtime + self._edits))
            limit_s = PATIENCE_S + PATIENCE * usual_s
            code, said = self._pytest(limit_s, "-x", mutant.test)
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return judged(code, said, monotonic() - began)


def judged(code: int | None, said: str, seconds: float = 0.0) -> Found:
    """What a test says about its guard: only a failure in a test that ran is red."""
    lines = said.splitlines()
    failed = [line for line in lines if line.startswith("FAILED")]
    last = next(iter([*failed, *(line for line in reversed(lines) if line)]), "")
    if code is None or any("+ Timeout +" in line for line in lines):
        return Found("hung", last, seconds)
    if code == RED and failed:
        return Found("caught", last, seconds)
    return Found("MISSED" if code == 0 else "ERROR", last, seconds)


def passed(report: str, nodes: list[str]) -> dict[str, float]:
    """Test → seconds, from a JUnit report, of those of which every case has passed."""
    cases: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for case in ElementTree.fromstring(report).iter("testcase"):
        file = case.get("classname", "").replace(".", "/") + ".py"
        name = f"{file}::{case.get('name', '')}"
        for node in {file, name.split("[")[0], name}:
            cases[node].append((float(case.get("time", "0")), len(case) == 0))
    return {
        node: sum(seconds for seconds, _ in cases[node])
        for node in nodes
        if cases[node] and all(good for _, good in cases[node])
    }


def _names() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    return list(filter(None, listed.decode().split("\0")))
