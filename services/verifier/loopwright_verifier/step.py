"""The verifier's step: a clean checkout, protected paths put back, every check, one verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loopwright.checks import (
    CommandCheck,
    FileCheck,
    JsonSchemaCheck,
    RegexCheck,
    TableCheck,
    TestReportCheck,
    UnchangedCheck,
)
from loopwright.errors import StepError
from loopwright.events import VerificationRequested
from loopwright.plan import CheckResult
from loopwright.results import VerdictReached
from loopwright.service.sandbox import Sandbox, SandboxUnavailableError
from loopwright.service.step import Performed, Request
from loopwright.workspace import WorkspaceError, Workspaces
from loopwright_verifier.commands import Commands, Scene
from loopwright_verifier.core import judge, result
from loopwright_verifier.inspection import ContentCheck, Inspection

#: What would change how pytest runs, unless it stood in the goal's own workspace.
PYTEST_FILES = (
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "tox.ini",
    "setup.cfg",
    "pyproject.toml",
    "sitecustomize.py",
    "usercustomize.py",
    "*.pth",
)


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """Judges revisions."""

    workspaces: Workspaces
    sandbox: Sandbox

    async def perform(self, request: Request[VerificationRequested]) -> Performed:
        """Judge the granted revision by every check of the goal."""
        try:
            return await self._judge(request)
        except SandboxUnavailableError as error:
            raise StepError("sandbox_unavailable", str(error)) from error
        except WorkspaceError as error:
            raise StepError("internal", str(error)) from error

    async def _judge(self, request: Request[VerificationRequested]) -> Performed:
        goal, base = request.goal, await self._base(request)
        revision = request.data.revision or base
        results: dict[str, CheckResult] = {}
        async with self._held_out(request) as held_out:
            async with self._scene(request, base, revision, held_out) as (scene, restored):
                contents = [c for c in goal.verify.checks if isinstance(c, ContentCheck)]
                for item in await Inspection(self.sandbox).run(contents, scene):
                    results[item.name] = item
            for check in goal.verify.checks:
                match check:
                    case CommandCheck() | TestReportCheck():
                        # Each on a tree of its own: no check can prepare the ground for the next.
                        async with self._scene(request, base, revision, held_out) as (scene, _):
                            results[check.name] = await self._run(check, scene)
                    case UnchangedCheck():
                        results[check.name] = await self._unchanged(request, check, base, revision)
                    case FileCheck() | RegexCheck() | JsonSchemaCheck() | TableCheck():
                        pass
                if request.stop.is_set():
                    raise StepError("timeout", "the verification was stopped before its end")
        verdict = judge(goal, revision, results, restored=restored, isolation=self.sandbox.level)
        return Performed(VerdictReached(verdict=verdict))

    async def _base(self, request: Request[VerificationRequested]) -> str:
        workspace = request.goal.workspace
        if workspace.revision is not None:
            return workspace.revision
        return (await self.workspaces.create(request.loop, workspace.files)).revision

    @asynccontextmanager
    async def _held_out(
        self, request: Request[VerificationRequested]
    ) -> AsyncIterator[Path | None]:
        async with AsyncExitStack() as stack:
            revision = request.goal.verify.held_out
            if revision is None:
                yield None
            else:
                checkout = self.workspaces.checkout(request.loop, revision)
                yield await stack.enter_async_context(checkout)

    @asynccontextmanager
    async def _scene(
        self,
        request: Request[VerificationRequested],
        base: str,
        revision: str,
        held_out: Path | None,
    ) -> AsyncIterator[tuple[Scene, list[str]]]:
        """A fresh checkout with the protected paths as they were in the goal's workspace."""
        goal = request.goal
        patterns = [*goal.verify.protected]
        if any(isinstance(check, TestReportCheck) for check in goal.verify.checks):
            patterns += PYTEST_FILES
        async with self.workspaces.checkout(request.loop, revision) as tree:
            restored: list[str] = []
            if patterns:
                restored = await self.workspaces.restore(tree, request.loop, base, patterns)
            yield Scene(tree, held_out, goal.limits, request.stop), restored

    async def _run(self, check: CommandCheck | TestReportCheck, scene: Scene) -> CheckResult:
        commands = Commands(self.sandbox)
        try:
            match check:
                case CommandCheck():
                    return await commands.command(check, scene)
                case TestReportCheck():
                    return await commands.test_report(check, scene)
        except (SandboxUnavailableError, asyncio.CancelledError):
            raise
        except Exception as error:
            return result(check.name, "error", f"{type(error).__name__}: {error}")

    async def _unchanged(
        self,
        request: Request[VerificationRequested],
        check: UnchangedCheck,
        base: str,
        revision: str,
    ) -> CheckResult:
        """Judged on the revision itself, before anything is put back."""
        changes = await self.workspaces.changed(request.loop, base, revision, check.paths)
        shown = ", ".join(f"{change.path} {change.kind}" for change in changes[:10])
        message = shown or f"{', '.join(check.paths)} are as they were"
        return result(check.name, "failed" if changes else "passed", message)
