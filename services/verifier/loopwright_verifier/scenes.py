"""Scenes: fresh checkouts on which checks are made, with the protected paths put back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loopwright.checks import TestReportCheck
from loopwright.events import VerificationRequested
from loopwright.goal import Limits
from loopwright.service.step import Request
from loopwright.workspace import Workspaces

PATH = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
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
class Scene:
    """What a check that runs something may see."""

    tree: Path
    held_out: Path | None
    limits: Limits
    stop: asyncio.Event


@dataclass(frozen=True, slots=True)
class Case:
    """A revision that is to be judged, beside the workspace that the loop began with."""

    workspaces: Workspaces
    request: Request[VerificationRequested]
    base: str
    revision: str
    held_out: Path | None

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[tuple[Scene, list[str]]]:
        """A fresh checkout, and the paths in it that were put back as they were."""
        request = self.request
        patterns = [*request.goal.verify.protected]
        if any(isinstance(check, TestReportCheck) for check in request.goal.verify.checks):
            patterns += PYTEST_FILES
        async with self.workspaces.checkout(request.loop, self.revision) as tree:
            restored: list[str] = []
            if patterns:
                restored = await self.workspaces.restore(tree, request.loop, self.base, patterns)
            yield Scene(tree, self.held_out, request.goal.limits, request.stop), restored


@asynccontextmanager
async def opened(
    workspaces: Workspaces, request: Request[VerificationRequested]
) -> AsyncIterator[Case]:
    """The case of a request; its held-out folder is there while the block lasts."""
    source = request.goal.workspace
    base = source.revision
    if base is None:
        base = (await workspaces.create(request.loop, source.files)).revision
    async with AsyncExitStack() as stack:
        held_out = None
        if request.goal.verify.held_out is not None:
            checkout = workspaces.checkout(request.loop, request.goal.verify.held_out)
            held_out = await stack.enter_async_context(checkout)
        yield Case(workspaces, request, base, request.data.revision or base, held_out)
