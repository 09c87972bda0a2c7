"""Checks that run something: command lines and tests, each on a tree of its own.

Test code shares a process with what it tests, so code under test can in principle say anything
about itself. What is done against that: pytest's controller, which writes the report, never
imports the workspace; tests run in a worker process below it. A module that ends its process, by
`os._exit(0)` or otherwise, is a crashed worker and so a failed test; a report that it writes is
overwritten by the controller's; a controller that is killed leaves an exit code that is not 0,
and both are needed. What remains: code that takes pytest apart inside of the worker. A goal that
must hold against that checks from outside, with a `command` on held-out data.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loopwright.checks import CommandCheck, MeasureCheck, MetricCheck, RegexCheck, TestReportCheck
from loopwright.plan import CheckResult
from loopwright.service.sandbox import Command, Completed, Sandbox, limits_of
from loopwright_verifier.core import result
from loopwright_verifier.inspection import CONTENT, Inspection
from loopwright_verifier.junit import (
    MAX_REPORT_BYTES,
    Case,
    ReportError,
    feedback,
    parse,
    shortfalls,
)
from loopwright_verifier.scenes import PATH, Scene

#: Of what a command prints, as much as a pattern is held against: its beginning and its end.
OUTPUT_BYTES = 128 * 1024
#: Settings of ours that take the place of any in the workspace.
PYTEST_INI = "[pytest]\njunit_family = xunit1\n"


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs checks in the sandbox."""

    sandbox: Sandbox
    inspection: Inspection

    async def command(self, check: CommandCheck, scene: Scene) -> CheckResult:
        """Judge a command by its exit code and by what it prints."""
        done = await self._line(check.run, check.timeout, scene)
        wrong = _ended(done, check.timeout)
        if wrong is None and done.exit_code != check.exit_code:
            wrong = f"it ended with exit code {done.exit_code}, {check.exit_code} is wanted"
        if wrong is None and check.stdout_matches is not None:
            wrong = await self._unmatched(check.stdout_matches, done.stdout.text(), scene)
        return _said(check.name, done, wrong, f"`{check.run}` ended as wanted")

    async def measure(self, check: MeasureCheck, scene: Scene) -> CheckResult:
        """Judge the number that a command prints; the command must end with 0."""
        done = await self._line(check.run, check.timeout, scene)
        wrong = _ended(done, check.timeout)
        if wrong is None and done.exit_code != 0:
            wrong = f"it ended with exit code {done.exit_code}, 0 is wanted"
        if wrong is not None:
            return _said(check.name, done, wrong, "")
        metric = MetricCheck(
            kind="metric",
            name=check.name,
            path=CONTENT,
            pattern=check.pattern,
            min=check.min,
            max=check.max,
        )
        found = await self.inspection.one(metric, done.stdout.text().encode(), scene)
        failed = None if found.status == "passed" else found.message
        return _said(check.name, done, failed, found.message).model_copy(
            update={"value": found.value}
        )

    async def _line(self, run: str, timeout_s: float, scene: Scene) -> Completed:
        return await self._run(("/bin/sh", "-c", run), scene, timeout_s, held_out=True)

    async def _unmatched(self, pattern: str, text: str, scene: Scene) -> str | None:
        regex = RegexCheck(kind="regex", name="stdout", path=CONTENT, pattern=pattern)
        found = await self.inspection.one(regex, text.encode(), scene)
        if found.status == "passed":
            return None
        if found.status == "error":
            return found.message
        return f"its output does not match {pattern!r}"

    async def test_report(self, check: TestReportCheck, scene: Scene) -> CheckResult:
        """Judge tests by their report, and with pytest by the exit code too."""
        with tempfile.TemporaryDirectory(prefix="report-", dir=scene.tree.parent) as folder:
            private = Path(folder)
            private.chmod(0o755)
            report = private / "report.xml"
            env = {"LOOPWRIGHT_REPORT": str(report)}
            if check.run is not None:
                argv: tuple[str, ...] = ("/bin/sh", "-c", check.run)
            else:
                argv = _pytest(check, scene, private, report)
                env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those that are named, and no others
            held_out = check.run is not None or _root(check, scene) == scene.held_out
            done = await self._run(
                argv, scene, check.timeout, held_out=held_out, writable=private, env=env
            )
            body = _read(report)
        return _judged(check, done, body)

    async def _run(
        self,
        argv: tuple[str, ...],
        scene: Scene,
        timeout_s: float,
        *,
        held_out: bool,
        writable: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        shown = scene.held_out if held_out else None
        variables = {"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        if shown is not None:
            variables["LOOPWRIGHT_HELD_OUT"] = str(shown)
        command = Command(
            argv=argv,
            cwd=scene.tree,
            writable=(scene.tree, *([writable] if writable else [])),
            readable=(shown,) if shown else (),
            env=variables,
            limits=limits_of(scene.limits, timeout_s, excerpt_bytes=OUTPUT_BYTES),
        )
        return await self.sandbox.run(command, stop=scene.stop)


def _said(name: str, done: Completed, wrong: str | None, good: str) -> CheckResult:
    output = done.stdout.text() + done.stderr.text()
    return result(
        name,
        "failed" if wrong else "passed",
        wrong or good,
        exit_code=done.exit_code,
        judged=output.encode(),
        text=output,
        duration_s=done.duration_s,
    )


def _pytest(check: TestReportCheck, scene: Scene, private: Path, report: Path) -> tuple[str, ...]:
    """pytest with nothing taken from the workspace but the tests and what they import.

    -P keeps a `pytest.py` or `json.py` of the workspace from being what this interpreter imports
    at its start; the workspace comes on the path after pytest is there.
    """
    ini = private / "pytest.ini"
    ini.write_text(PYTEST_INI, encoding="utf-8")
    root = _root(check, scene)
    paths = [str(root / path) for path in check.paths]
    return (
        sys.executable, "-P", "-m", "pytest",
        "-c", str(ini), "--rootdir", str(root), "--confcutdir", str(root),
        "-o", f"pythonpath={scene.tree}",
        "-p", "no:cacheprovider", "--import-mode=importlib", "-p", "xdist.plugin", "-n", "1",
        "--max-worker-restart=0", "-q", "--no-header", "--tb=short", f"--junitxml={report}",
        *paths,
    )  # fmt: skip


def _root(check: TestReportCheck, scene: Scene) -> Path:
    """Where the tests are: in the held-out folder if they are there, else in the workspace."""
    if scene.held_out is None:
        return scene.tree
    hidden = [path for path in check.paths if (scene.held_out / path).exists()]
    if hidden and len(hidden) < len(check.paths):
        raise ValueError(
            f"{', '.join(hidden)} of `paths` are held out and the others are not; "
            "make two checks of it"
        )
    return scene.held_out if hidden else scene.tree


def _read(report: Path) -> bytes | None:
    """The report's bytes; None where there is none. A link is none."""
    if report.is_symlink() or not report.is_file():
        return None
    with report.open("rb") as file:
        return file.read(MAX_REPORT_BYTES + 1)


def _judged(check: TestReportCheck, done: Completed, body: bytes | None) -> CheckResult:
    output = done.stdout.text() + done.stderr.text()
    wrong: list[str] = []
    cases: list[Case] = []
    text = output
    ended = _ended(done, check.timeout)
    if ended is not None:
        wrong.append(ended)
    try:
        cases = parse(body or b"")
        wrong += shortfalls(cases, check.tests, check.min_tests)
        text = feedback(cases) or output
        shown = f"{sum(case.outcome == 'passed' for case in cases)} of {len(cases)} tests passed"
    except ReportError as error:
        wrong.append(str(error) if body is not None else "no report was written")
        shown = "nothing was shown"
    # pytest's own word on the same run: 0, or 1 where tests that are not wanted here failed.
    expected = 1 if any(case.outcome in ("failed", "error") for case in cases) else 0
    if check.run is None and done.exit_code != expected and not wrong:
        wrong.append(f"the report looks good, but pytest ended with exit code {done.exit_code}")
    return result(
        check.name,
        "failed" if wrong else "passed",
        f"{shown}; {'; '.join(wrong[:8])}" if wrong else shown,
        exit_code=done.exit_code,
        judged=body or b"",
        text=text,
        duration_s=done.duration_s,
    )


def _ended(done: Completed, timeout_s: float) -> str | None:
    """Why a command did not come to its own end, if so."""
    match done.killed_by:
        case None:
            return None if done.signal is None else f"it was ended by signal {done.signal}"
        case "wall":
            return f"it was not done within {timeout_s:g} s"
        case limit:
            return f"it was ended by its {limit} limit"
