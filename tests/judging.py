"""A goal's checks put to a workspace, with the real verifier, sandbox and git."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from llm import completion
from loopwright.budget import Amount, Price
from loopwright.events import Grant, VerificationRequested
from loopwright.objects import MemoryObjects
from loopwright.plan import CheckResult, Outcome, Plan, Verdict
from loopwright.results import VerdictReached
from loopwright.service.llm.client import Llm
from loopwright.service.sandbox import LandlockSandbox
from loopwright.service.step import Performed, Request
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.workspace import Workspaces
from loopwright_verifier.panel import Panel
from loopwright_verifier.settings import VerifierSettings
from loopwright_verifier.step import VerifyStep

#: What a judge of the tests costs, and the most that a verification may spend on it.
PRICE = Price.model_validate({"input_usd_per_million": "1", "output_usd_per_million": "2"})
RESERVED = Amount(tokens=200_000, cost_microusd=200_000)


class Judges:
    """Models that say the given answers in order, and remember what they were asked."""

    def __init__(self, *answers: str | httpx2.Response) -> None:
        self._answers = [*answers]
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """One answer."""
        self.asked.append(json.loads(request.content))
        answer = self._answers.pop(0)
        if isinstance(answer, str):
            return httpx2.Response(200, json=completion(answer))
        return answer

    def panel(self) -> Panel:
        """A panel that asks them."""
        settings = VerifierSettings.model_validate({"OPENAI_API_KEY": "sk-test"})
        return Panel(Llm(settings, transport=httpx2.MockTransport(self)), 30.0)


def ballot(passes: bool, *quotes: tuple[str, str], reason: str = "so it is") -> str:
    """A judge's answer."""
    quoted = [{"path": path, "text": text} for path, text in quotes]
    return json.dumps({"reason": reason, "quotes": quoted, "passes": passes})


async def performed(
    folder: Path,
    checks: list[dict[str, Any]],
    *,
    before: Mapping[str, str] | None = None,
    change: Any = None,
    held_out: Mapping[str, str] | None = None,
    protected: tuple[str, ...] = (),
    stop: asyncio.Event | None = None,
    judges: Judges | None = None,
    reserved: Amount = RESERVED,
    data: Mapping[str, Any] | None = None,
    http_allow: frozenset[str] = frozenset(),
) -> Performed:
    """The verifier's answer about a workspace `before` that `change(tree)` was done to."""
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
        budget={"tokens": 1_000_000},
    )
    grant = Grant(
        role="verifier",
        iteration=1,
        attempt=1,
        token_digest="",
        deadline=datetime.now(UTC) + timedelta(minutes=5),
        reserved=reserved,
    )
    given = {
        name: value(revision) if callable(value) else value for name, value in (data or {}).items()
    }
    prices = {goal.judge_model(check): PRICE for check in goal.judges}
    requested = VerificationRequested(
        **{"grant": grant, "revision": revision, "plan": Plan(summary="s"), "prices": prices}
        | given
    )
    request = Request(LOOP_ID, goal, grant, requested, stop or asyncio.Event())
    panel = (judges or Judges()).panel()
    step = VerifyStep(workspaces, LandlockSandbox(), panel, http_allow)
    try:
        return await step.perform(request)
    finally:
        await panel.llm.close()


async def judged(folder: Path, checks: list[dict[str, Any]], **rest: Any) -> Verdict:
    """The verdict on a workspace."""
    answer = await performed(folder, checks, **rest)
    assert isinstance(answer.body, VerdictReached), answer.body
    return answer.body.verdict


async def one(
    folder: Path, check: dict[str, Any], files: Mapping[str, str], **rest: Any
) -> CheckResult:
    """The result of one check on a workspace of texts."""
    verdict = await judged(folder, [{"name": "c", **check}], before=files, **rest)
    return verdict.checks[0]


def outcome_of(revision: str, **changes: Any) -> Outcome:
    """What an executor says of a revision."""
    return Outcome.model_validate({"revision": revision, "succeeded": True} | changes)
