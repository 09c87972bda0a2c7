"""What a model sees of a workspace: all paths, and the most telling texts."""

from __future__ import annotations

from typing import Any

import pytest

from loopwright.errors import StepError
from loopwright.goal import OpenAI
from loopwright.plan import Change, CheckResult, Outcome, Plan, Verdict
from loopwright.tools import Action
from loopwright.workspace.errors import WorkspaceError
from loopwright_planner.view import View, look
from planning import REVISION, File, MemoryWorkspaces, openai_goal, plan_request


def failing(name: str, excerpt: str) -> Verdict:
    check = CheckResult(name=name, status="failed", message="it is wrong", excerpt=excerpt)
    return Verdict(revision=REVISION, checks=(check,), score=0)


async def see(workspaces: MemoryWorkspaces, goal: Any = None, **data: Any) -> View:
    request = plan_request(goal or openai_goal(), **({"revision": REVISION} | data))
    spec = request.goal.planner
    assert isinstance(spec, OpenAI)
    return await look(workspaces, request, spec)


async def test_files_that_the_last_iteration_was_about_come_first_then_small_ones() -> None:
    files = {"big.py": b"b" * 90, "small.py": b"s", "named.py": b"n" * 50, "changed.py": b"c" * 70}
    outcome = Outcome(
        revision=REVISION, succeeded=True, changes=(Change(path="changed.py", kind="modified"),)
    )
    view = await see(
        MemoryWorkspaces(files), outcome=outcome, verdict=failing("a", "see named.py line 3")
    )
    assert [path for path, _ in view.files] == ["changed.py", "named.py", "small.py", "big.py"]
    assert view.listing == (("big.py", 90), ("changed.py", 70), ("named.py", 50), ("small.py", 1))


async def test_only_shown_text_files_are_read_and_all_are_listed() -> None:
    planner = {"backend": "openai", "model": "m", "show": ["*.py", "!secret.py"]}
    files = {
        "a.py": b"text",
        "b.py": b"\0binary",
        "c.py": b"\xff",
        "secret.py": b"x",
        "d.csv": b"1",
    }
    view = await see(MemoryWorkspaces(files), openai_goal(planner=planner))
    assert view.files == (("a.py", "text"),)
    assert [path for path, _ in view.listing] == ["a.py", "b.py", "c.py", "d.csv", "secret.py"]


@pytest.mark.parametrize(("size", "read"), [(4000, 16), (10, 64)])
async def test_no_more_is_read_than_a_prompt_could_hold(size: int, read: int) -> None:
    workspaces = MemoryWorkspaces({f"{n:03}": b"x" * size for n in range(100)})
    view = await see(workspaces, openai_goal(max_input=16_000))
    assert len(workspaces.read_paths) == read
    assert len(view.listing) == 100


async def test_a_workspace_that_cannot_be_read_fails_the_step_before_any_call() -> None:
    class Damaged(MemoryWorkspaces):
        async def ls(self, loop: str, revision: str, /) -> list[File]:
            raise WorkspaceError("the bundle is damaged")

    with pytest.raises(StepError, match="the bundle is damaged"):
        await see(Damaged())


async def test_a_file_that_the_last_plan_named_comes_first() -> None:
    action = Action(tool="file.write", args={"path": "z.py", "content": ""})
    files = {"a.py": b"a", "z.py": b"zzz"}
    view = await see(MemoryWorkspaces(files), plan=Plan(summary="s", actions=(action,)))
    assert [path for path, _ in view.files] == ["z.py", "a.py"]


async def test_a_goal_without_a_revision_is_planned_on_its_own_files() -> None:
    goal = openai_goal(workspace={"files": {"a.txt": "hello"}})
    view = await see(MemoryWorkspaces(), goal, revision=None)
    assert view.files == (("a.txt", "hello"),)
