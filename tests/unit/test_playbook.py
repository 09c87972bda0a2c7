"""Which rule gives the plan, as a table; and that no list of rules is used more than it allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.budget import Usage
from loopwright.errors import StepError
from loopwright.goal import Playbook
from loopwright.plan import ActionOutcome, Outcome, Plan
from loopwright.results import PlanProposed
from loopwright.service.llm.client import Llm
from loopwright.testing import playbook_goal
from loopwright_planner.core import Refused, plan_by_rule, read_plan
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from planning import REVISION, MemoryWorkspaces, plan_request, verdict_of

DO = [{"tool": "shell", "args": {"run": "true"}}]


def rule(name: str, *failing: str, start: bool = False, times: int = 1) -> dict[str, Any]:
    return {
        "name": name,
        "when": {"start": start, "failing": list(failing)},
        "times": times,
        "do": DO,
    }


def playbook(*rules: dict[str, Any]) -> Playbook:
    return Playbook.model_validate({"backend": "playbook", "rules": list(rules)})


BOOK = playbook(rule("begin", start=True), rule("mend-a", "a"), rule("mend-ab", "a", "b", times=2))


@pytest.mark.parametrize(
    ("statuses", "uses", "expected"),
    [
        (None, {}, "begin"),
        ({"a": "failed", "b": "failed"}, {"begin": 1}, "mend-a"),
        ({"a": "error", "b": "passed"}, {"begin": 1}, "mend-a"),
        ({"a": "passed", "b": "failed"}, {"begin": 1}, "mend-ab"),
        ({"a": "failed", "b": "passed"}, {"begin": 1, "mend-a": 1}, "mend-ab"),
        ({"a": "failed"}, {"mend-a": 1, "mend-ab": 1}, "mend-ab"),
        ({"b": "passed"}, {}, "mend-a"),
    ],
    ids=[
        "the start",
        "the first in order wins",
        "a check that did not run has failed",
        "any of the named checks is enough",
        "a used-up rule is passed over",
        "a rule has as many uses as it says",
        "a check that the verdict leaves out has failed",
    ],
)
def test_the_first_rule_that_applies_and_has_uses_left_gives_the_plan(
    statuses: dict[str, str] | None, uses: dict[str, int], expected: str
) -> None:
    verdict = None if statuses is None else verdict_of(**statuses)
    plan = plan_by_rule(BOOK.rules, verdict, uses)
    assert plan.rule == expected
    assert plan.summary.startswith(expected)
    assert plan.actions == BOOK.rules[0].do


def test_the_summary_names_the_use_and_the_checks_that_chose_the_rule() -> None:
    plan = plan_by_rule(BOOK.rules, verdict_of(a="failed", b="failed"), {"mend-a": 1, "mend-ab": 1})
    assert plan.summary == "mend-ab (use 2 of 2): a, b did not pass"


def test_without_a_rule_the_failing_checks_and_the_used_up_rules_are_named() -> None:
    uses = {"begin": 1, "mend-a": 1, "mend-ab": 2}
    with pytest.raises(StepError) as failure:
        plan_by_rule(BOOK.rules, verdict_of(a="failed", b="passed"), uses)
    assert failure.value.info.kind == "no_rule_applies"
    assert "failing: a;" in failure.value.info.message
    assert "used up: begin, mend-a, mend-ab" in failure.value.info.message


def test_without_a_rule_at_the_start_the_message_says_that_nothing_was_verified() -> None:
    with pytest.raises(StepError, match=r"nothing was verified yet; no rule is used up"):
        plan_by_rule(playbook(rule("mend", "a")).rules, None, {})


names = st.sampled_from(["a", "b", "c"])
rules = st.lists(
    st.builds(
        rule,
        st.integers(0, 5).map("rule-{}".format),
        names,
        start=st.booleans(),
        times=st.integers(1, 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda item: item["name"],
)
verdicts = st.lists(
    st.none()
    | st.dictionaries(names, st.sampled_from(["passed", "failed", "error"])).map(
        lambda statuses: verdict_of(**statuses)
    ),
    max_size=20,
)


@given(rules, verdicts)
def test_no_rule_is_ever_used_more_often_than_it_allows(
    listed: list[dict[str, Any]], steps: list[Any]
) -> None:
    book, uses = playbook(*listed), dict[str, int]()
    for verdict in steps:
        try:
            plan = plan_by_rule(book.rules, verdict, uses)
        except StepError:
            continue
        assert plan.rule is not None
        uses[plan.rule] = uses.get(plan.rule, 0) + 1
    assert all(uses.get(item.name, 0) <= item.times for item in book.rules)


async def perform_playbook(**data: Any) -> Any:
    llm = Llm(PlannerSettings())
    step = PlanStep(MemoryWorkspaces(), llm, 1.0)
    try:
        return await step.perform(plan_request(playbook_goal(), **data))
    finally:
        await llm.close()


async def test_a_playbook_plans_without_a_model_and_without_cost() -> None:
    performed = await perform_playbook()
    assert isinstance(performed.body, PlanProposed)
    assert performed.body.plan.rule == "work"
    assert performed.usage == Usage()


async def test_after_failed_actions_the_same_rules_are_looked_through_again() -> None:
    failed = Outcome(
        revision=REVISION,
        succeeded=False,
        actions=(ActionOutcome(tool="shell", status="failed", exit_code=1),),
    )
    performed = await perform_playbook(outcome=failed, rule_uses={"work": 1})
    assert performed.body.plan.summary == "work (use 2 of 3): it is the start"


def answer(*actions: dict[str, Any], **more: Any) -> str:
    return json.dumps({"summary": "s", "actions": list(actions), **more})


def write(path: str) -> dict[str, Any]:
    return {"tool": "file.write", "args": {"path": path, "content": ""}}


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("no json", "invalid_output", "no JSON"),
        ("[" * 100_000, "invalid_output", "no JSON"),
        ("[]", "invalid_output", "one JSON object"),
        ('{"actions": []}', "invalid_output", "summary"),
        (answer({"tool": "Bad Name", "args": {}}), "invalid_output", "actions.0.tool"),
        (answer({"tool": "rm.rf", "args": {}}), "tool_not_found", "'rm.rf' is no tool"),
        (
            answer({"tool": "shell", "args": {"run": "true"}}),
            "permission_denied",
            "'shell' is not allowed",
        ),
        (
            answer({"tool": "file.read", "args": {}}),
            "invalid_arguments",
            "actions.0.args.path: Field required",
        ),
        (answer(write("../x")), "invalid_arguments", "'../x' is not allowed"),
        (answer(write("/etc/x")), "invalid_arguments", "'/etc/x' is not allowed"),
        (answer(write("a/.git/config")), "invalid_arguments", "git repository"),
        (answer(write("ok"), write("tests/t.py")), "permission_denied", "is protected"),
    ],
)  # fmt: skip
def test_an_answer_that_may_not_leave_is_refused_with_its_reason(
    text: str, kind: str, says: str
) -> None:
    refused = read_plan(text, ("file",), ("tests/**",))
    assert isinstance(refused, Refused)
    assert refused.kind == kind
    assert says in refused.message


@pytest.mark.parametrize("tool", ["file.write", "file.edit", "file.delete"])
def test_no_tool_writes_a_protected_path(tool: str) -> None:
    args = {"file.edit": {"old": "a", "new": "b"}, "file.write": {"content": ""}}.get(tool, {})
    refused = read_plan(
        answer({"tool": tool, "args": {"path": "t.py", **args}}), ("file",), ("t*",)
    )
    assert isinstance(refused, Refused)
    assert refused.kind == "permission_denied"


def test_a_protected_path_may_be_read() -> None:
    text = answer({"tool": "file.read", "args": {"path": "t.py"}})
    assert isinstance(read_plan(text, ("file",), ("t*",)), Plan)


def test_a_tool_without_a_path_has_none_to_check() -> None:
    text = answer({"tool": "shell", "args": {"run": "true"}})
    assert isinstance(read_plan(text, ("shell",), ("**",)), Plan)


def test_a_plan_in_a_markdown_fence_is_read() -> None:
    assert isinstance(read_plan(f"```json\n{answer(write('x'))}\n```\n", ("file",), ()), Plan)


def test_a_model_cannot_claim_a_rule() -> None:
    plan = read_plan(answer(rule="work"), ("file",), ())
    assert isinstance(plan, Plan)
    assert plan.rule is None
