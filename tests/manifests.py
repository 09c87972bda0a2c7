"""Render every overlay and validate it strictly; `make k8s-check` gives the tools."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
OVERLAYS = ("local", "production")


def render(overlay: str) -> str:
    """The manifests of an overlay."""
    argv = ["kubectl", "kustomize", str(ROOT / "k8s/overlays" / overlay)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def validate(rendered: str) -> list[str]:
    """What the Kubernetes schemas do not allow."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "all.yaml")
        file.write_text(rendered)
        argv = ["kubernetes-validate", "--strict", str(file)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    faults = [line for line in said if line.startswith("ERROR")]
    return faults or (["kubernetes-validate failed"] if done.returncode else [])


def main() -> None:
    """One line of figures; exit 1 if anything is wrong."""
    faults: list[str] = []
    counts: dict[str, int] = {}
    for overlay in OVERLAYS:
        rendered = render(overlay)
        counts[overlay] = Counter(line.split(":")[0] for line in rendered.splitlines())["kind"]
        faults += [f"{overlay}: {fault}" for fault in validate(rendered)]
    sys.stdout.write(json.dumps({"resources": counts, "faults": faults}) + "\n")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
