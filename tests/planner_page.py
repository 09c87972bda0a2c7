"""The example of docs/planner.md, from one planning step: `cd tests && python -m planner_page`."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx2

from llm import completion, write_file
from loopwright.events import IterationSummary, PlanRequested
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import PlanProposed
from loopwright.service.llm.client import Llm
from loopwright.service.step import Request
from loopwright.tools import Action
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from planning import REVISION, MemoryWorkspaces, grant_for, openai_goal, plan_request

PAGE = Path(__file__).parents[1] / "docs/planner.md"
BLOCK = re.compile(r"<!-- example -->\n.*?<!-- end -->", re.DOTALL)

_SAID = {
    "summary": "Write b, which is still missing.",
    "actions": [
        {
            **write_file("b", "2\n"),
            "timeout": None,
            "allow_failure": False,
            "expect": "check b passes",
        }
    ],
    "remember": ["a was written by hand"],
    "claims_met": False,
    "question": "",
}


def example() -> str:
    """The messages of one call and the plan that came of it, as Markdown."""
    return asyncio.run(_example())


async def _example() -> str:
    sent: list[list[dict[str, str]]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content)["messages"])
        return httpx2.Response(200, json=completion(text=json.dumps(_SAID)))

    settings = PlannerSettings.model_validate(
        {"OPENAI_API_KEY": "sk-none-at-all", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    )
    llm = Llm(settings, transport=httpx2.MockTransport(answer))
    try:
        step = PlanStep(MemoryWorkspaces({"a": b"1\n"}), llm, 30.0)
        performed = await step.perform(_request())
    finally:
        await llm.close()
    assert isinstance(performed.body, PlanProposed)
    system, user = (message["content"] for message in sent[0])
    rules = system.split("Tools\n")[1]
    plan = performed.body.plan.model_dump(mode="json", exclude_defaults=True)
    return "\n".join(
        [
            "<!-- example -->",
            "The end of the first message:",
            "",
            f"```text\nTools\n{rules.strip()}\n```",
            "",
            "The second message:",
            "",
            f"```text\n{user.strip()}\n```",
            "",
            "The plan, as it stands in the log:",
            "",
            f"```json\n{json.dumps(plan, indent=2)}\n```",
            "<!-- end -->",
        ]
    )


def _request() -> Request[PlanRequested]:
    goal = openai_goal(tools=["file"], constraints=["Keep what is there."])
    grant = grant_for(goal).model_copy(update={"iteration": 3})
    before = Action.model_validate(write_file("a", "1\n"))
    check = CheckResult(name="b", status="failed", message="b: there is no such file")
    history = (
        IterationSummary(iteration=1, summary="Copy b.", executed=False, note="shell failed"),
        IterationSummary(
            iteration=2, summary="Write a.", score=0.5, passed=1, checks=2, turned_green=("a",)
        ),
    )
    return plan_request(
        goal,
        grant=grant,
        revision=REVISION,
        plan=Plan(summary="Write a.", actions=(before,)),
        outcome=Outcome(
            revision=REVISION,
            succeeded=True,
            actions=(ActionOutcome(tool="file.write", status="succeeded", stdout="2 bytes"),),
        ),
        verdict=Verdict(revision=REVISION, checks=(check,), score=0.5),
        history=history,
    )


def main() -> None:
    """Write the example into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: example(), text), encoding="utf-8")


if __name__ == "__main__":
    main()
