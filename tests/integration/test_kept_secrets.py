"""A workspace never keeps a secret of the goal: whatever put it there, nothing is committed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loopwright.events import ExecutionRequested, Grant
from loopwright.objects import MemoryObjects
from loopwright.plan import Outcome, Plan
from loopwright.results import ExecutionFinished
from loopwright.service.step import Request
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright.tools import TOOL_GROUPS, Action
from loopwright.workspace import Workspaces
from loopwright_executor.app import ExecuteStep
from loopwright_executor.tools.kept import kept_secret
from tooling import toolbox

TOKEN = "tvly-4f0c9a81d2e7b635"


async def executed(folder: Path, *actions: Action, listed: bool = True) -> Outcome:
    """What comes of a plan, in a goal that may use the token or may not."""
    folder.chmod(0o711)
    workspaces = Workspaces(folder / "root", MemoryObjects())
    base = (await workspaces.create(LOOP_ID, None)).revision
    grant = Grant(
        role="executor",
        iteration=1,
        attempt=1,
        token_digest="0" * 64,
        deadline=datetime.now(UTC) + timedelta(seconds=120),
        tools=TOOL_GROUPS,
    )
    goal = playbook_goal(secrets=["TOKEN"] if listed else [])
    data = ExecutionRequested(grant=grant, revision=base, plan=Plan(summary="s", actions=actions))
    step = ExecuteStep(workspaces, toolbox(secrets={"TOKEN": TOKEN}))
    done = await step.perform(Request(LOOP_ID, goal, grant, data, asyncio.Event()))
    assert isinstance(done.body, ExecutionFinished), done.body
    assert (done.body.outcome.revision == base) == (not done.body.outcome.changes)
    return done.body.outcome


def shell(run: str, **rest: Any) -> Action:
    return Action(tool="shell", args={"run": run}, **rest)


@pytest.mark.parametrize(
    "run",
    [
        f"head -c 300000 /dev/zero > a.bin; printf %s {TOKEN} >> a.bin",
        f"mkdir -p d && touch d/{TOKEN}",
        f"ln -s {TOKEN} link",
        f"mkdir -p {TOKEN}/d && touch {TOKEN}/d/x",
    ],
)
async def test_a_plan_that_leaves_a_secret_in_the_workspace_is_not_kept(
    run: str, tmp_path: Path
) -> None:
    outcome = await executed(tmp_path, shell("echo fine > fine.txt"), shell(run))
    assert not outcome.succeeded
    last = outcome.actions[-1]
    assert (last.status, last.failure) == ("failed", "permission_denied")
    assert "holds the secret TOKEN" in last.stderr
    assert TOKEN not in outcome.model_dump_json()


async def test_an_action_that_may_fail_leaves_no_secret_either(tmp_path: Path) -> None:
    outcome = await executed(tmp_path, shell(f"echo {TOKEN} > a", allow_failure=True))
    assert (outcome.succeeded, outcome.changes) == (False, ())


async def test_what_a_goal_cannot_have_is_not_looked_for(tmp_path: Path) -> None:
    outcome = await executed(tmp_path, shell("echo fine > a"), listed=False)
    assert outcome.succeeded


def test_short_values_are_words_and_odd_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("in")
    (tmp_path / "gone").symlink_to("nowhere")
    assert kept_secret(tmp_path, {"SHORT": "in", "TOKEN": TOKEN}) is None
    (tmp_path / "text").write_text(f"x{TOKEN}")
    assert kept_secret(tmp_path, {"TOKEN": TOKEN}) == ("text", "TOKEN")
