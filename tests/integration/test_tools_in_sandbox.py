"""The tools that run in the sandbox: patch, search, SQL; and what is refused there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome
from loopwright.service.sandbox import Command, Completed, LandlockSandbox, NoSandbox
from loopwright.testing import playbook_goal
from loopwright.tools import TOOL_GROUPS
from tooling import call_of, toolbox


@pytest.fixture
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lwtest-") as top:
        Path(top).chmod(0o711)
        workspace = Path(top, "workspace")
        workspace.mkdir()
        yield workspace


async def act(tree: Path, tool: str, **args: Any) -> ActionOutcome:
    return await toolbox().run(call_of(tree, tool, **args), TOOL_GROUPS)


@dataclass(frozen=True)
class Stronger:
    """Says that it is bubblewrap, which not every machine can run."""

    level: str = "bwrap"

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        return replace(await LandlockSandbox().run(command, stop=stop), isolation=self.level)


DIFF = """--- a/x.txt
+++ b/x.txt
@@ -1,2 +1,2 @@
 one
-two
+three
"""


async def test_a_patch_changes_what_it_names(tree: Path) -> None:
    (tree / "x.txt").write_text("one\ntwo\n")
    outcome = await act(tree, "file.patch", patch=DIFF)
    assert (outcome.status, outcome.effect) == ("succeeded", "workspace")
    assert (tree / "x.txt").read_text() == "one\nthree\n"


async def test_a_patch_that_does_not_apply_changes_nothing(tree: Path) -> None:
    (tree / "x.txt").write_text("one\nother\n")
    outcome = await act(tree, "file.patch", patch=DIFF)
    assert (outcome.status, outcome.failure) == ("failed", "tool_failed")
    assert "x.txt" in outcome.stderr
    assert (tree / "x.txt").read_text() == "one\nother\n"


async def test_a_patch_does_not_leave_the_workspace(tree: Path) -> None:
    outside = tree.parent / "x.txt"
    outside.write_text("one\ntwo\n")
    outside.chmod(0o666)
    for path in ("../x.txt", "link"):
        (tree / "link").unlink(missing_ok=True)
        (tree / "link").symlink_to(outside)
        outcome = await act(tree, "file.patch", patch=DIFF.replace("x.txt", path))
        assert outcome.status == "failed"
        assert outside.read_text() == "one\ntwo\n"


async def test_a_search_names_path_and_line(tree: Path) -> None:
    (tree / "src").mkdir()
    (tree / "src/a.py").write_text("def one():\n    return 1\n")
    (tree / "b.txt").write_text("def two\n")
    outcome = await act(tree, "file.search", pattern=r"^def \w+")
    assert outcome.stdout.splitlines() == ["b.txt:1:def two", "src/a.py:1:def one():"]
    narrow = await act(tree, "file.search", pattern="def", glob="src/**/*.py")
    assert narrow.stdout.splitlines() == ["src/a.py:1:def one():"]
    assert (await act(tree, "file.search", pattern="zebra")).status == "failed"
    capped = await act(tree, "file.search", pattern="def", limit=1)
    assert len(capped.stdout.splitlines()) == 2


async def test_a_pattern_that_never_ends_is_ended(tree: Path) -> None:
    (tree / "a.txt").write_text("a" * 60 + "!")
    call = call_of(tree, "file.search", pattern="(a+)+$")
    object.__setattr__(call.limits, "wall_s", 1.0)
    outcome = await toolbox().run(call, TOOL_GROUPS)
    assert outcome.failure is not None
    assert "limit ended it" in outcome.failure


async def test_sql_reads_the_workspaces_files(tree: Path) -> None:
    (tree / "t.csv").write_text("name,n\na,1\nb,2\n")
    outcome = await act(tree, "sql", query="SELECT name, n * 2 AS twice FROM 't.csv' ORDER BY n")
    assert outcome.stdout == "name,twice\na,2\nb,4\n"
    wrong = await act(tree, "sql", query="SELECT nothing FROM 't.csv'")
    assert (wrong.status, "nothing" in wrong.stderr) == ("failed", True)


async def test_sql_reads_nothing_else(tree: Path) -> None:
    secret = tree.parent / "secret.csv"
    secret.write_text("a\nhidden\n")
    secret.chmod(0o644)
    outcome = await act(tree, "sql", query=f"SELECT * FROM '{secret}'")
    assert outcome.status == "failed"
    assert "hidden" not in outcome.stdout + outcome.stderr


async def test_an_action_is_refused_where_the_isolation_that_it_needs_is_missing(
    tree: Path,
) -> None:
    call = call_of(tree, "shell", playbook_goal(min_isolation="landlock"), run="touch ran")
    with pytest.raises(StepError, match="needs isolation 'landlock'") as raised:
        await toolbox(NoSandbox()).run(call, TOOL_GROUPS)
    assert raised.value.info.kind == "sandbox_unavailable"
    assert not (tree / "ran").exists()
    done = await toolbox().run(call, TOOL_GROUPS)
    assert (done.status, done.isolation) == ("succeeded", "landlock")


async def test_a_stronger_sandbox_is_taken_where_a_goal_asks_for_it(tree: Path) -> None:
    wanted = playbook_goal(min_isolation="bwrap")
    box = toolbox(strong=Stronger())
    for goal, level in ((wanted, "bwrap"), (playbook_goal(), "landlock")):
        done = await box.run(call_of(tree, "shell", goal, run="true"), TOOL_GROUPS)
        assert (done.status, done.isolation) == ("succeeded", level)
