"""The release as users get it: wheels, a clean environment, the demo; `make release-check`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from installation import ROOT, prepare_penguins

UV = str(Path(sys.prefix, "bin", "uv"))


def _run(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(to: Path) -> list[Path]:
    """A wheel of every member."""
    _run(UV, "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(to), cwd=ROOT)
    return sorted(to.glob("*.whl"))


def install(wheels: Path, venv: Path) -> None:
    """The whole local system, from those wheels and what they declare."""
    _run(sys.executable, "-m", "venv", str(venv), cwd=wheels)
    python = str(venv / "bin/python")
    what = ["loopwright-cli[all]", "--find-links", str(wheels)]
    _run(UV, "pip", "install", "--quiet", "--python", python, *what, cwd=wheels)


def demo(venv: Path, folder: Path) -> dict[str, Any]:
    """The example, away from the checkout."""
    prepare_penguins()
    example = folder / "clean-data"
    shutil.copytree(ROOT / "examples/clean-data", example)
    command = str(venv / "bin/loopwright")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LOOPWRIGHT_DATA": str(folder / "data")}
    try:
        said = _run(command, "run", str(example / "goal.yaml"), "--json", cwd=folder, env=env)
    finally:
        _run(command, "down", cwd=folder, env=env)
    return dict(json.loads(said))


def main() -> None:
    """Build, install, run; one line of figures."""
    began = monotonic()
    with TemporaryDirectory(prefix="loopwright-release-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # sandboxed commands pass through to their workspace
        wheels = build(folder / "dist")
        install(folder / "dist", folder / "venv")
        ended = demo(folder / "venv", folder)
    figures = {
        "wheels": len(wheels),
        "outcome": ended["outcome"],
        "reason": ended["reason"],
        "iterations": ended["iterations"],
        "seconds": round(monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    if ended["outcome"] != "achieved":
        raise SystemExit(1)


if __name__ == "__main__":
    main()
