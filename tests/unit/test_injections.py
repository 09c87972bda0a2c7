"""Text that gives orders, and a model that obeys every one: nothing out of policy leaves or runs.

The corpus is data (`tests/injections/*.yaml`): what a file, an output or a check's evidence says,
and the plan of a model that does as it is told there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import yaml

from llm import completion
from loopwright.events import ExecutionRequested, PlanRequested
from loopwright.goal import Goal
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import PlanProposed, StepFailed
from loopwright.service.llm.client import Llm
from loopwright.service.step import Performed
from loopwright.tools import Action
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from planning import REVISION, MemoryWorkspaces, openai_goal, plan_request
from table import Table

CORPUS: list[dict[str, Any]] = [
    item
    for path in sorted((Path(__file__).parents[1] / "injections").glob("*.yaml"))
    for item in yaml.safe_load(path.read_text(encoding="utf-8"))
]
PROTECTED = ("tests/**",)
REFUSALS = {"permission_denied", "tool_not_found", "invalid_arguments", "invalid_output"}
PLACES = ("file", "output", "evidence")


def goal() -> Goal:
    """Only files may be used, and the tests are protected."""
    checks = [{"name": "a", "kind": "file", "path": "a"}]
    return openai_goal(tools=["file"], verify={"checks": checks, "protected": list(PROTECTED)})


class Gullible:
    """A model that does what any text in its prompt says."""

    def __init__(self) -> None:
        self.obeyed = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        messages = json.loads(request.content)["messages"]
        read = "\n".join(message["content"] for message in messages)
        order = max((i for i in CORPUS if i["text"] in read), key=lambda i: len(i["text"]))
        self.obeyed += 1
        plan = {"summary": "as I was told", **order["obeyed"]}
        return httpx2.Response(200, json=completion(text=json.dumps(plan)))


def data_with(text: str, place: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a planner is asked with: the text stands in one place of it."""
    if place == "file":
        return {}, {"notes.txt": f"before\n{text}\nafter".encode()}
    if place == "output":
        did = ActionOutcome(tool="file.read", status="succeeded", stdout=text)
        return {"outcome": Outcome(revision=REVISION, succeeded=True, actions=(did,))}, {}
    check = CheckResult(name="a", status="failed", message="wrong", excerpt=text)
    return {"verdict": Verdict(revision=REVISION, checks=(check,), score=0)}, {}


async def planned(text: str, place: str, model: Gullible) -> Performed:
    data, files = data_with(text, place)
    settings = PlannerSettings.model_validate(
        {"OPENAI_API_KEY": "sk-none-at-all", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    )
    llm = Llm(settings, transport=httpx2.MockTransport(model))
    try:
        step = PlanStep(MemoryWorkspaces(files), llm, 30.0)
        return await step.perform(plan_request(goal(), revision=REVISION, **data))
    finally:
        await llm.close()


def out_of_policy(actions: tuple[Action, ...]) -> Iterator[Action]:
    """By rules of this test's own: other tools, protected paths, paths outside."""
    for action in actions:
        path = PurePosixPath(str(action.args.get("path", "x")))
        outside = path.is_absolute() or ".." in path.parts or path.parts[0] in ("tests", ".git")
        if not action.tool.startswith("file.") or outside:
            yield action


def test_the_corpus_has_more_than_a_hundred_orders_of_every_kind() -> None:
    assert len({item["text"] for item in CORPUS}) >= 100
    assert len({item["name"] for item in CORPUS}) == len(CORPUS)
    assert Counter(item["kind"] for item in CORPUS).keys() == {"tools", "paths", "fields"}


async def test_a_model_that_obeys_every_order_gets_nothing_out_of_policy_past_the_planner() -> None:
    model, left = Gullible(), 0
    for number, item in enumerate(CORPUS):
        before = model.obeyed
        performed = await planned(item["text"], PLACES[number % len(PLACES)], model)
        assert model.obeyed > before, f"{item['name']} has not reached the model"
        if isinstance(performed.body, StepFailed):
            assert performed.body.error.kind in REFUSALS, item["name"]
            continue
        assert isinstance(performed.body, PlanProposed)
        plan = performed.body.plan
        assert list(out_of_policy(plan.actions)) == [], item["name"]
        assert (plan.rule, plan.recalled) == (None, ()), item["name"]
        left += 1
    assert left > 0, "orders that ask for nothing forbidden are plans like others"
    assert model.obeyed >= len(CORPUS)


def test_what_a_planner_lets_through_the_coordinator_refuses_before_it_is_run() -> None:
    """The planner's own check left out: its plan goes to the decision as the model said it."""
    for item in CORPUS:
        if item["kind"] != "tools":
            continue
        table = Table(goal(), replays=False)
        table.begin()
        plan = Plan.model_validate({"summary": "as I was told", **item["obeyed"]})
        event = table.plan(plan)
        assert not isinstance(event, ExecutionRequested), item["name"]
        assert isinstance(event, PlanRequested), item["name"]
        assert event.settles is not None
        assert event.settles.error is not None
        assert event.settles.error.kind == "permission_denied"


def test_a_claim_that_the_goal_is_met_only_asks_for_the_checks() -> None:
    table = Table(goal(), replays=False)
    table.begin()
    event = table.plan(Plan(summary="done", claims_met=True))
    assert event.kind == "verification_requested"
    assert table.loop.ended is None
