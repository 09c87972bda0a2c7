"""The verifier's side of the inspector: hand it the checks, take its word line by line."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from loopwright.plan import CheckResult
from loopwright.service.sandbox import Command, Completed, Sandbox, limits_of
from loopwright_verifier.contents import ContentCheck
from loopwright_verifier.core import result
from loopwright_verifier.inspector import Order
from loopwright_verifier.scenes import PATH, Scene

_PROGRAM = "loopwright_verifier.inspector"
#: DuckDB looks for its limits here, and takes the lack of leave to read for a fault of its own.
_CGROUP = tuple(path for path in (Path("/sys/fs/cgroup"),) if path.is_dir())
#: The path of a content that is no file of the workspace.
CONTENT = "content"
#: Time of an inspector for all its checks, in seconds; it goes on behind one that takes longer.
INSPECT_S = 60.0
#: Address space that DuckDB reserves for two tables, used or not; it is told a smaller limit.
MEMORY_BYTES = 4 * 1024**3
#: All results of a goal's checks, at their largest.
OUTPUT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inspection:
    """Runs content checks in the sandbox."""

    sandbox: Sandbox

    async def run(
        self, checks: Sequence[ContentCheck], scene: Scene, changed: Sequence[str] = ()
    ) -> list[CheckResult]:
        """A result for each check, in order."""
        results: list[CheckResult] = []
        while len(results) < len(checks) and not scene.stop.is_set():
            rest = checks[len(results) :]
            done = await self._inspect(rest, scene, changed)
            results += _lines(done, rest)
            if len(results) < len(checks):
                broken = checks[len(results)]
                results.append(result(broken.name, "error", _why(done)))
        return results

    async def one(self, check: ContentCheck, content: bytes, scene: Scene) -> CheckResult:
        """Judge a content that is no file of the workspace, as if it were the check's file.

        Patterns of goals meet hostile texts here, where one that never ends is ended.
        """
        with tempfile.TemporaryDirectory(prefix="content-", dir=scene.tree.parent) as folder:
            place = Path(folder)
            place.chmod(0o755)
            (place / CONTENT).write_bytes(content)
            (judged,) = await self.run([check], replace(scene, tree=place, held_out=None))
        return judged

    async def _inspect(
        self, checks: Sequence[ContentCheck], scene: Scene, changed: Sequence[str]
    ) -> Completed:
        limits = limits_of(scene.limits, INSPECT_S, excerpt_bytes=2 * OUTPUT_BYTES)
        folders = (scene.tree, *([scene.held_out] if scene.held_out else []))
        package = Path(__file__).parent
        order = Order(checks=list(checks), changed=list(changed))
        command = Command(
            argv=(sys.executable, "-P", "-m", _PROGRAM, *map(str, folders)),
            cwd=Path("/"),
            writable=(),
            readable=(*folders, package.parent, *_own_code(), *_CGROUP),
            env={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=order.model_dump_json(by_alias=True).encode(),
            limits=replace(
                limits,
                memory_bytes=max(limits.memory_bytes, MEMORY_BYTES),
                output_bytes=OUTPUT_BYTES,
            ),
        )
        return await self.sandbox.run(command, stop=scene.stop)


def _own_code() -> tuple[Path, ...]:
    """Where this project's packages lie, which in a checkout is not in the environment."""
    import loopwright

    return (Path(loopwright.__file__).parent.parent,)


def _lines(done: Completed, checks: Sequence[ContentCheck]) -> list[CheckResult]:
    """The results that were printed whole, as long as they are about the checks in their order."""
    found = []
    for line, check in zip(done.stdout.text().splitlines(), checks, strict=False):
        try:
            item = CheckResult.model_validate_json(line)
        except ValidationError:
            break
        if item.name != check.name:
            break
        found.append(item)
    return found


def _why(done: Completed) -> str:
    if done.killed_by is not None:
        return f"reading the file was ended by its {done.killed_by} limit"
    said = done.stderr.text().strip().splitlines()
    return f"reading the file broke the inspector: {said[-1][:300] if said else 'it said nothing'}"
