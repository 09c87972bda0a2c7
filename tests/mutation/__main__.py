"""`make mutants`: each guard is taken out of a copy of the tree; its test must turn red there."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from mutation.mutant import ROOT, Mutant
from mutation.table import MUTANTS

#: The longest that tests may take; a mutant that hangs its own is caught, in seconds.
TEST_S = 900.0
#: What pytest returns where tests ran and some failed.
RED = 1


class Tree:
    """A copy of the checkout in which mutants are put in and taken out again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for name in filter(None, names.decode().split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        (root / ".venv").symlink_to(ROOT / ".venv")
        members = [root / "shared", root / "cli", *(root / "services").iterdir()]
        path = os.pathsep.join(str(folder) for folder in members)
        self.env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        where = self._run("-c", "import loopwright; print(loopwright.__file__)").stdout.strip()
        if not Path(where).is_relative_to(root):
            raise RuntimeError(f"the copy in {root} is not what is imported: {where} is")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TEST_S,
            check=False,
        )

    def test(self, *nodes: str) -> tuple[int, str]:
        """Run tests up to the first that fails; what pytest returned, and its last words."""
        try:
            ran = self._run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *nodes)
        except subprocess.TimeoutExpired:
            return RED, f"it did not end within {TEST_S:g} s"
        failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return ran.returncode, (failed or (ran.stdout + ran.stderr).splitlines() or [""])[-1]

    def without(self, mutant: Mutant) -> tuple[int, str]:
        """Run a mutant's test with its guard taken out."""
        path = self.root / mutant.file
        source = path.read_text(encoding="utf-8")
        try:
            path.write_text(mutant.applied(source), encoding="utf-8")
            return self.test(mutant.test)
        finally:
            path.write_text(source, encoding="utf-8")


def main() -> int:
    """Print the table and a line of figures."""
    parser = argparse.ArgumentParser(prog="mutation")
    parser.add_argument("--only", default="", help="those whose name, file or test holds this")
    only = parser.parse_args().only
    chosen = [m for m in MUTANTS if any(only in text for text in (m.name, m.file, m.test))]
    began, missed = monotonic(), 0
    with TemporaryDirectory(prefix="loopwright-mutants-") as folder:
        tree = Tree(Path(folder))
        code, said = tree.test(*dict.fromkeys(mutant.test for mutant in chosen))
        if code != 0:
            print(f"with every guard in, the tests do not pass: {said}")
            return 1
        for mutant in chosen:
            code, said = tree.without(mutant)
            caught = code == RED
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {mutant.name} ({mutant.file})", flush=True)
            if not caught:
                print(f"        {said}", flush=True)
    seconds = round(monotonic() - began, 1)
    line = {"target": "guards", "mutants": len(chosen), "violations": missed, "seconds": seconds}
    print(json.dumps(line))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
