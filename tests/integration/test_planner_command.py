"""A program as the planner: what it is told, what it may answer, how it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loopwright.errors import StepError
from loopwright.goal import CommandPlanner
from loopwright.objects import MemoryObjects
from loopwright.plan import Plan
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import Sandbox, choose
from loopwright.testing import playbook_goal
from loopwright.workspace import Workspaces
from loopwright_planner.command import Programs, context
from planning import plan_request, verdict_of

KEY = "sk-very-secret-value"


async def find() -> Sandbox:
    return await choose(allow_none=True)


async def planned(folder: Path, run: str, *, stop: bool = False, **goal: Any) -> Plan:
    """What a program plans on a workspace of one file."""
    planner = {"backend": "command", "run": run, "timeout": goal.pop("timeout", 20)}
    request = plan_request(
        playbook_goal(planner=planner, workspace={"files": {"notes": "seven\n"}}, **goal),
        verdict=verdict_of(a="passed", b="failed"),
        hints=("be brief",),
    )
    if stop:
        request.stop.set()
    programs = Programs(Workspaces(folder, MemoryObjects()), find, Redactor([KEY]))
    assert isinstance(request.goal.planner, CommandPlanner)
    return await programs.plan(request, request.goal.planner)


ECHO = """cat > context.json
python3 -c "
import json
c = json.load(open('context.json'))
check = c['verdict']['checks'][1]['status']
said = [c['iteration'], sorted(c['tools']), c['hints'], check, open('notes').read()]
print(json.dumps({'summary': json.dumps(said), 'actions': []}))
"
"""


async def test_a_program_is_told_where_the_loop_stands_and_sees_its_workspace(
    tmp_path: Path,
) -> None:
    plan = await planned(tmp_path, ECHO, tools=["file"])
    tools = [f"file.{name}" for name in ("delete", "edit", "patch", "read", "search", "write")]
    assert json.loads(plan.summary) == [1, tools, ["be brief"], "failed", "seven\n"]


def test_the_context_holds_no_grant_and_no_token() -> None:
    told = context(plan_request(playbook_goal()))
    assert not {"grant", "price", "settles", "control"} & set(told)
    assert "token_digest" not in json.dumps(told)


BAD = '{"summary": "s", "actions": [{"tool": "file.write", "args": {"path": "%s", "content": ""}}]}'


@pytest.mark.parametrize(
    ("run", "kind", "sentence"),
    [
        ("exit 3", "tool_failed", "exit code 3"),
        (f"echo {KEY} >&2; exit 1", "tool_failed", r"it said: \[redacted\]"),
        ("echo no plan", "invalid_output", "is no JSON"),
        ("echo '[]'", "invalid_output", "must be one JSON object"),
        ('echo \'{"summary": "s", "actions": [{"tool": "fly"}]}\'', "tool_not_found", "fly"),
        (f"echo '{BAD % '../out'}'", "invalid_arguments", "path"),
        (f"echo '{BAD % 'kept'}'", "permission_denied", "protected"),
        ("head -c 1500000 /dev/zero", "invalid_output", "1500000 bytes, a plan has at most"),
        ("head -c 9000000 /dev/zero", "sandbox_limit", "output limit"),
    ],
)
async def test_what_is_no_plan_is_refused_with_the_reason(
    tmp_path: Path, run: str, kind: str, sentence: str
) -> None:
    checks = playbook_goal().verify.model_dump(mode="json", exclude_none=True)["checks"]
    verify = {"protected": ["kept"], "checks": checks}
    with pytest.raises(StepError, match=sentence) as caught:
        await planned(tmp_path, run, verify=verify)
    assert caught.value.info.kind == kind
    assert KEY not in caught.value.info.message


async def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="took more than") as caught:
        await planned(tmp_path, "sleep 60", timeout=0.5)
    assert caught.value.info.kind == "timeout"


async def test_a_stopped_step_starts_no_program(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no time is left"):
        await planned(tmp_path, "true", stop=True)


async def test_a_loop_cannot_rewrite_a_protected_planner(tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path, MemoryObjects())
    verify = playbook_goal().verify.model_dump(mode="json", exclude_none=True)
    goal = playbook_goal(
        planner={"backend": "command", "run": "sh planner.sh"},
        workspace={"files": {"planner.sh": 'echo \'{"summary": "honest"}\'\n'}},
        verify={"protected": ["planner.sh"], "checks": verify["checks"]},
    )
    request = plan_request(goal)
    base = await workspaces.create(request.loop, goal.workspace.files)
    async with workspaces.checkout(request.loop, base.revision) as tree:
        (tree / "planner.sh").write_text('echo \'{"summary": "mine"}\'\n')
        changed = await workspaces.commit(
            request.loop, tree, parent=base.revision, message="m", at=request.grant.deadline
        )
    request = plan_request(goal, revision=changed.revision)
    assert isinstance(goal.planner, CommandPlanner)
    plan = await Programs(workspaces, find).plan(request, goal.planner)
    assert plan.summary == "honest"
