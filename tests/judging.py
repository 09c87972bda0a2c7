"""A goal's checks put to a workspace, with the real verifier, sandbox and git."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loopwright.events import Grant, VerificationRequested
from loopwright.objects import MemoryObjects
from loopwright.plan import CheckResult, Plan, Verdict
from loopwright.results import VerdictReached
from loopwright.service.sandbox import LandlockSandbox
from loopwright.service.step import Request
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.workspace import Workspaces
from loopwright_verifier.step import VerifyStep


async def judged(
    folder: Path,
    checks: list[dict[str, Any]],
    *,
    before: Mapping[str, str] | None = None,
    change: Any = None,
    held_out: Mapping[str, str] | None = None,
    protected: tuple[str, ...] = (),
    stop: asyncio.Event | None = None,
) -> Verdict:
    """The verdict on a workspace `before` that `change(tree)` was done to."""
    folder.chmod(0o711)
    workspaces = Workspaces(folder / "root", MemoryObjects())
    base = (await workspaces.create(LOOP_ID, before or {})).revision
    revision = base
    if change is not None:
        async with workspaces.checkout(LOOP_ID, base) as tree:
            change(tree)
            snapshot = await workspaces.commit(
                LOOP_ID, tree, parent=base, message="m", at=datetime.now(UTC)
            )
            revision = snapshot.revision
    verify: dict[str, Any] = {"checks": checks, "protected": list(protected)}
    if held_out is not None:
        verify["held_out"] = (await workspaces.create(LOOP_ID, held_out)).revision
    rule = {"name": "r", "when": {"start": True}, "do": [{"tool": "shell", "args": {"run": "x"}}]}
    goal = playbook_goal(
        verify=verify,
        planner={"backend": "playbook", "rules": [rule]},
        workspace={"revision": base},
    )
    grant = Grant(
        role="verifier",
        iteration=1,
        attempt=1,
        token_digest="",
        deadline=datetime.now(UTC) + timedelta(minutes=5),
    )
    data = VerificationRequested(grant=grant, revision=revision, plan=Plan(summary="s"))
    request = Request(LOOP_ID, goal, grant, data, stop or asyncio.Event())
    performed = await VerifyStep(workspaces, LandlockSandbox()).perform(request)
    assert isinstance(performed.body, VerdictReached)
    return performed.body.verdict


async def one(
    folder: Path, check: dict[str, Any], files: Mapping[str, str], **rest: Any
) -> CheckResult:
    """The result of one check on a workspace of texts."""
    verdict = await judged(folder, [{"name": "c", **check}], before=files, **rest)
    return verdict.checks[0]
