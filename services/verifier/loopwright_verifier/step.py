"""The verifier's step: layers from cheap to dear, each check on ground of its own, one verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

from loopwright.budget import Usage
from loopwright.checks import (
    ApprovalCheck,
    CommandCheck,
    ConsistencyCheck,
    HttpCheck,
    JudgeCheck,
    MeasureCheck,
    SizeCheck,
    TestReportCheck,
    UnchangedCheck,
)
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import VerificationRequested
from loopwright.plan import Change, CheckResult
from loopwright.results import StepFailed, VerdictReached
from loopwright.service.sandbox import Sandbox, SandboxUnavailableError
from loopwright.service.step import Performed, Request
from loopwright.workspace import WorkspaceError, Workspaces
from loopwright_verifier import invariants
from loopwright_verifier.commands import Commands
from loopwright_verifier.contents import ContentCheck
from loopwright_verifier.core import judge, result, reusable, with_places
from loopwright_verifier.inspection import Inspection
from loopwright_verifier.panel import Panel
from loopwright_verifier.probe import Probe
from loopwright_verifier.repeats import combined
from loopwright_verifier.scenes import Case, Scene, opened

RunningCheck = CommandCheck | TestReportCheck | MeasureCheck
_CONTENTS = get_args(ContentCheck)


@dataclass(slots=True)
class Findings:
    """What one verification has found so far."""

    results: dict[str, CheckResult] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """Judges revisions."""

    workspaces: Workspaces
    sandbox: Sandbox
    panel: Panel | None = None
    """Models that judge; without it a judge's check is an error."""
    http_allow: frozenset[str] = frozenset()

    async def perform(self, request: Request[VerificationRequested]) -> Performed:
        """Judge the granted revision by every check of the goal."""
        before = reusable(request.goal, request.data)
        if before is not None:
            return Performed(VerdictReached(verdict=before))
        found = Findings()
        try:
            return await self._judge(request, found)
        except SandboxUnavailableError as error:
            failed = ErrorInfo(kind="sandbox_unavailable", message=str(error))
        except WorkspaceError as error:
            failed = ErrorInfo(kind="internal", message=str(error))
        except StepError as error:
            failed = error.info
        return Performed(StepFailed(error=failed), found.usage)

    async def _judge(self, request: Request[VerificationRequested], found: Findings) -> Performed:
        async with opened(self.workspaces, request) as case:
            changes = await self.workspaces.changed(request.loop, case.base, case.revision, ("**",))
            paths = [change.path for change in changes if change.kind != "deleted"]
            await self._contents(case, found, paths)
            for layer in (self._runs, self._whole, self._probes, self._asked):
                if request.stop.is_set():
                    raise StepError("timeout", "the verification was stopped before its end")
                await layer(case, found)
            listed = {entry.path for entry in await self.workspaces.ls(request.loop, case.revision)}
        verdict = judge(
            request.goal,
            case.revision,
            {name: with_places(item, listed) for name, item in found.results.items()},
            restored=found.restored,
            isolation=self.sandbox.level,
            changes=[Change(path=c.path, kind=c.kind, bytes=c.bytes) for c in changes],
        )
        return Performed(VerdictReached(verdict=verdict), found.usage)

    @property
    def _inspection(self) -> Inspection:
        return Inspection(self.sandbox)

    async def _contents(self, case: Case, found: Findings, changed: list[str]) -> None:
        """Checks of files, all on one tree that nothing runs on."""
        checks = [c for c in case.request.goal.verify.checks if isinstance(c, _CONTENTS)]
        async with case.scene() as (scene, restored):
            found.restored = restored
            for item in await self._inspection.run(checks, scene, changed):
                found.results[item.name] = item

    async def _runs(self, case: Case, found: Findings) -> None:
        """Checks that run something, each run on a tree of its own."""
        for check in case.request.goal.verify.checks:
            if isinstance(check, RunningCheck):
                runs = [await self._fresh(check, case) for _ in range(check.repeat)]
                found.results[check.name] = combined(runs)

    async def _fresh(self, check: RunningCheck, case: Case) -> CheckResult:
        """One run: no check can prepare the ground for the next."""
        if case.request.stop.is_set():
            raise StepError("timeout", "the verification was stopped before its end")
        async with case.scene() as (scene, _):
            return await _guarded(check.name, partial(self._run, check, scene))

    async def _run(self, check: RunningCheck, scene: Scene) -> CheckResult:
        commands = Commands(self.sandbox, self._inspection)
        match check:
            case CommandCheck():
                return await commands.command(check, scene)
            case TestReportCheck():
                return await commands.test_report(check, scene)
            case MeasureCheck():
                return await commands.measure(check, scene)

    async def _whole(self, case: Case, found: Findings) -> None:
        """Invariants of the revision."""
        for check in case.request.goal.verify.checks:
            match check:
                case UnchangedCheck():
                    found.results[check.name] = await invariants.unchanged(check, case)
                case SizeCheck():
                    found.results[check.name] = await invariants.size(check, case)
                case ConsistencyCheck():
                    found.results[check.name] = await invariants.consistency(check, case)
                case _:
                    pass

    async def _probes(self, case: Case, found: Findings) -> None:
        """Servers outside of the sandbox."""
        checks = [c for c in case.request.goal.verify.checks if isinstance(c, HttpCheck)]
        if not checks:
            return
        probe = Probe(self.http_allow, self._inspection)
        async with case.scene() as (scene, _):
            for check in checks:
                work = partial(probe.ask, check, scene)
                found.results[check.name] = await _guarded(check.name, work)

    async def _asked(self, case: Case, found: Findings) -> None:
        """Models and people: asked only about what passes everything else that is required."""
        goal = case.request.goal
        open_still = {check.name for check in goal.verify.checks} - found.results.keys()
        failing = sorted(
            name
            for name in goal.required_checks - open_still
            if found.results[name].status != "passed"
        )
        for check in goal.verify.checks:
            if isinstance(check, ApprovalCheck):
                found.results[check.name] = result(check.name, "failed", "a person decides this")
            elif isinstance(check, JudgeCheck) and failing:
                why = f"not asked: {', '.join(failing[:5])} must pass first"
                found.results[check.name] = result(check.name, "failed", why)
            elif isinstance(check, JudgeCheck) and self.panel is not None:
                await self._vote(self.panel, check, case, found)

    async def _vote(self, panel: Panel, check: JudgeCheck, case: Case, found: Findings) -> None:
        purse = panel.purse(check, case.request, found.usage)
        try:
            found.results[check.name] = await panel.judge(check, case, purse)
        finally:  # what was spent was spent, whatever came of it
            found.usage = found.usage + purse.used


async def _guarded(name: str, work: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
    """A check that breaks has failed, with its reason; a sandbox that is gone is no verdict."""
    try:
        return await work()
    except (SandboxUnavailableError, asyncio.CancelledError):
        raise
    except Exception as error:
        return result(name, "error", f"{type(error).__name__}: {error}")
