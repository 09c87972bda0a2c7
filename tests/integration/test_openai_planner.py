"""The planner against a real HTTP server that nobody here wrote: every call is counted and paid."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from llm import GOOD, WRITE_CODE_SCRIPT, ScriptedModel, scripted_model
from loopwright.budget import Usage
from loopwright.events import Grant
from loopwright.plan import Plan
from loopwright.results import PlanProposed, StepFailed
from loopwright.service.llm.client import Llm
from loopwright.service.llm.spend import MESSAGE_TOKENS, one_per_byte
from loopwright.service.step import Performed
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from planning import REVISION, MemoryWorkspaces, grant_for, openai_goal, plan_request, verdict_of
from servers import free_port

KEY = "sk-canary-77ab01"


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedModel]:
    """A model server; it takes longer to start than all of these tests together."""
    with scripted_model() as server:
        yield server


@pytest.fixture
def model(server: ScriptedModel) -> ScriptedModel:
    """The server without a script and without memory."""
    server.reset()
    return server


def settings_for(base_url: str) -> PlannerSettings:
    return PlannerSettings.model_validate({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url})


@pytest.fixture
async def step(model: ScriptedModel) -> AsyncIterator[PlanStep]:
    """A planner that calls it."""
    llm = Llm(settings_for(model.base_url))
    yield PlanStep(MemoryWorkspaces({"a.txt": b"what is there"}), llm, 20.0)
    await llm.close()


async def plan(step: PlanStep, grant: Grant | None = None, **data: Any) -> Performed:
    return await step.perform(plan_request(openai_goal(), grant=grant, revision=REVISION, **data))


def plan_of(performed: Performed) -> Plan:
    assert isinstance(performed.body, PlanProposed), performed.body
    return performed.body.plan


def failure_of(performed: Performed) -> Any:
    assert isinstance(performed.body, StepFailed), performed.body
    return performed.body.error


def worst_case(body: dict[str, Any]) -> int:
    """The most tokens of a request, by what really arrived."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    beside = one_per_byte(json.dumps(schema, separators=(",", ":"))) if schema else 0
    texts = sum(one_per_byte(message["content"]) + MESSAGE_TOKENS for message in body["messages"])
    return texts + beside + int(body["max_tokens"])


def no_retry_by_the_sdk(model: ScriptedModel, calls: int) -> list[dict[str, Any]]:
    """The requests, after a look that there are as many as this program made by itself."""
    requests = model.requests()
    assert len(requests) == calls
    assert {request["sdk_retry_count"] for request in requests} <= {0}
    return [request["body"] for request in requests]


async def test_a_plan_is_made_from_what_the_workspace_holds(
    model: ScriptedModel, step: PlanStep
) -> None:
    model.queue(GOOD)
    performed = await plan(step, verdict=verdict_of(a="failed"))
    assert plan_of(performed).actions[0].args == {"path": "a", "content": "1"}
    (body,) = no_retry_by_the_sdk(model, 1)
    assert "what is there" in body["messages"][1]["content"]
    usage = performed.usage
    assert 0 < usage.tokens <= worst_case(body)
    assert usage.cost_microusd == usage.input_tokens + 2 * usage.output_tokens
    assert not usage.estimated
    assert model.verdict()["passed"]


async def test_the_schema_is_understood_by_a_server_that_answers_from_it(
    model: ScriptedModel, step: PlanStep
) -> None:
    made_up = plan_of(await plan(step))
    assert made_up.actions[0].tool == "shell"


async def test_an_answer_that_is_no_plan_is_repaired_and_both_calls_are_charged(
    model: ScriptedModel, step: PlanStep
) -> None:
    model.queue("I have finished everything.", GOOD)
    performed = await plan(step)
    assert plan_of(performed).summary == "Write it."
    bodies = no_retry_by_the_sdk(model, 2)
    assert [message["role"] for message in bodies[1]["messages"]][-2:] == ["assistant", "user"]
    assert performed.usage.input_tokens > sum(
        len(message["content"]) for message in bodies[0]["messages"]
    ) // 4  # fmt: skip


async def test_a_rate_limit_is_reported_with_its_wait_and_left_to_the_coordinator(
    model: ScriptedModel, step: PlanStep
) -> None:
    model.queue({"type": "fail", "status": 429, "retry_after": 7}, GOOD)
    performed = await plan(step)
    assert failure_of(performed).kind == "rate_limited"
    assert failure_of(performed).retry_after_s == 7
    assert performed.usage == Usage()
    no_retry_by_the_sdk(model, 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, None, "auth"),
        (402, None, "billing"),
        (404, None, "model_not_found"),
        (429, "insufficient_quota", "billing"),
        (400, "context_length_exceeded", "context_overflow"),
        (503, None, "overloaded"),
        (529, None, "overloaded"),
    ],
)
async def test_a_refusal_is_one_call_that_costs_nothing(
    model: ScriptedModel, step: PlanStep, status: int, code: str | None, kind: str
) -> None:
    model.queue({"type": "fail", "status": status, "code": code})
    performed = await plan(step)
    assert failure_of(performed).kind == kind
    assert performed.usage == Usage()
    no_retry_by_the_sdk(model, 1)


async def test_a_server_error_is_charged_in_full(model: ScriptedModel, step: PlanStep) -> None:
    model.queue({"type": "fail", "status": 502})
    performed = await plan(step)
    assert failure_of(performed).kind == "overloaded"
    (body,) = no_retry_by_the_sdk(model, 1)
    assert performed.usage.tokens == worst_case(body)
    assert performed.usage.estimated


async def test_a_server_that_breaks_on_json_schema_is_asked_on_a_lower_rung(
    model: ScriptedModel, step: PlanStep
) -> None:
    refusal = "body.response_format.type: Input should be 'text' or 'json_object'"
    model.queue({"type": "fail", "status": 500, "message": refusal}, GOOD, GOOD)
    first = await plan(step)
    second = await plan(step)
    assert plan_of(first).actions == plan_of(second).actions
    bodies = no_retry_by_the_sdk(model, 3)
    formats = [body["response_format"]["type"] for body in bodies]
    assert formats == ["json_schema", "json_object", "json_object"]
    assert first.usage.tokens > worst_case(bodies[0]), "the refused call is charged in full"
    assert not second.usage.estimated


async def test_an_answer_that_does_not_come_in_time_is_charged_in_full() -> None:
    # A server of its own: the one that it leaves waiting would keep the next test waiting.
    with scripted_model([{"type": "delay", "seconds": 30}]) as slow:
        llm = Llm(settings_for(slow.base_url))
        performed = await plan(PlanStep(MemoryWorkspaces(), llm, 0.5))
        await llm.close()
    assert failure_of(performed).kind == "timeout"
    assert performed.usage.estimated
    assert performed.usage.output_tokens == 1000


async def test_a_server_that_is_not_there_costs_nothing() -> None:
    llm = Llm(settings_for(f"http://127.0.0.1:{free_port()}/v1"))
    performed = await plan(PlanStep(MemoryWorkspaces(), llm, 5.0))
    await llm.close()
    assert failure_of(performed).kind == "network"
    assert performed.usage == Usage()


async def test_an_address_that_is_no_model_says_which_setting_to_look_at(
    model: ScriptedModel,
) -> None:
    llm = Llm(settings_for(f"{model.url}/nothing-here"))
    performed = await plan(PlanStep(MemoryWorkspaces(), llm, 5.0))
    await llm.close()
    assert failure_of(performed).kind == "model_not_found"


@pytest.mark.parametrize("tokens", [9000, 11_000, 13_000, 17_000])
async def test_no_call_goes_beyond_what_the_grant_has_left(
    model: ScriptedModel, step: PlanStep, tokens: int
) -> None:
    model.queue({"type": "fail", "status": 500, "message": "no json_schema"}, "no plan", "no plan")
    performed = await plan(step, grant_for(openai_goal(), tokens=tokens))
    bodies = [request["body"] for request in model.requests()]
    assert bodies
    charged = 0
    for body in bodies:
        assert charged + worst_case(body) <= tokens
        # What a call really used is not more than its worst case, and the first is charged that.
        charged += worst_case(body) if body is bodies[0] else 0
    assert performed.usage.tokens <= tokens


async def test_the_key_travels_in_its_header_only(model: ScriptedModel, step: PlanStep) -> None:
    model.queue({"type": "fail", "status": 401, "message": f"Incorrect API key: {KEY}"})
    performed = await plan(step)
    assert KEY not in repr(performed)
    assert KEY not in json.dumps(model.requests())


async def test_the_script_of_the_example_is_four_plans(
    model: ScriptedModel, step: PlanStep
) -> None:
    model.queue(*WRITE_CODE_SCRIPT)
    plans = [plan_of(await plan(step)) for _ in WRITE_CODE_SCRIPT]
    assert all(item.actions[0].args["path"] == "durations.py" for item in plans)
    assert "os._exit(0)" in plans[1].actions[0].args["content"]
