"""Calls of a model, against a fake at the transport seam: paid for, bounded, repaired, stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm import completion, plan_text, write_file
from loopwright.budget import Usage
from loopwright.errors import BusUnavailableError, StepError
from loopwright.goal import OpenAI
from loopwright.results import PlanProposed, StepFailed
from loopwright.service.llm.capabilities import Capabilities, Features
from loopwright.service.llm.client import Llm
from loopwright.service.llm.spend import MESSAGE_TOKENS, one_per_byte
from loopwright.service.logs import Redactor
from loopwright.service.step import Performed
from loopwright_planner.dialogue import Dialogue
from loopwright_planner.prompt import Situation
from loopwright_planner.settings import PlannerSettings
from loopwright_planner.step import PlanStep
from loopwright_planner.view import View
from planning import PRICE, File, MemoryWorkspaces, grant_for, openai_goal, plan_request

KEY = "sk-canary-2f6b1c"


def error_body(message: str = "", **fields: Any) -> str:
    return json.dumps({"error": {"message": message, **fields}})


@dataclass
class Server:
    """A fake at the transport seam: gives the replies in order and keeps the requests."""

    replies: list[Any]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(json.loads(request.content))
        reply = self.replies.pop(0) if self.replies else completion()
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx2.Response):
            return reply
        return httpx2.Response(200, json=reply)

    def worst_cases(self) -> Iterator[int]:
        """The most tokens of each request, by what was really sent."""
        for body in self.requests:
            content = sum(one_per_byte(message["content"]) for message in body["messages"])
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            beside = (
                one_per_byte(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
                if schema
                else 0
            )
            cap = body.get("max_tokens") or body["max_completion_tokens"]
            yield content + beside + MESSAGE_TOKENS * len(body["messages"]) + cap


def settings_with(key: str | None) -> PlannerSettings:
    return PlannerSettings.model_validate(
        {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    )


async def plan_with(server: Server, *, key: str | None = KEY, **changes: Any) -> Performed:
    """One attempt against the fake; `goal`, `grant`, `capabilities` and data may be given."""
    goal = changes.pop("goal", None) or openai_goal()
    grant = changes.pop("grant", None) or grant_for(goal)
    llm = Llm(settings_with(key), transport=httpx2.MockTransport(server))
    capabilities, stopped = changes.pop("capabilities", Capabilities()), changes.pop("stopped", 0)
    step = PlanStep(
        changes.pop("workspaces", MemoryWorkspaces()), llm, 30.0, capabilities=capabilities
    )
    request = plan_request(goal, grant=grant, **changes)
    if stopped:
        request.stop.set()
    try:
        return await step.perform(request)
    finally:
        await llm.close()


def error_of(performed: Performed) -> tuple[str, str]:
    assert isinstance(performed.body, StepFailed), performed.body
    return performed.body.error.kind, performed.body.error.message


def status(code: int, body: str = "", **headers: str) -> httpx2.Response:
    return httpx2.Response(code, text=body, headers=headers)


async def test_a_plan_comes_back_with_its_usage_and_cost() -> None:
    server = Server([completion()])
    performed = await plan_with(server)
    assert isinstance(performed.body, PlanProposed)
    assert performed.body.plan.actions[0].args == {"path": "a", "content": "1"}
    assert performed.usage == Usage(input_tokens=40, output_tokens=10, cost_microusd=60)
    sent = server.requests[0]
    assert sent["max_tokens"] == 1000
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert "temperature" not in sent


async def test_a_temperature_is_sent_where_the_goal_has_one() -> None:
    planner = {"backend": "openai", "model": "m", "temperature": 0.2}
    server = Server([completion()])
    await plan_with(server, goal=openai_goal(planner=planner))
    assert server.requests[0]["temperature"] == 0.2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (status(200, "<html>Sign in"), "invalid_output"),
        (completion(usage=None), None),
        (status(500, "boom"), "overloaded"),
        (httpx2.ReadTimeout("slow"), "timeout"),
        (httpx2.RemoteProtocolError("cut"), "network"),
        (completion(text="no plan", usage=None), "invalid_output"),
    ],
    ids=["html", "no usage", "500", "timeout", "cut", "no plan and no usage"],
)
async def test_what_is_not_known_is_charged_in_full_and_marked(reply: Any, kind: Any) -> None:
    server = Server([reply, reply])
    performed = await plan_with(server, grant=grant_for(openai_goal(), tokens=9000))
    assert performed.usage.estimated
    assert performed.usage.tokens == sum(server.worst_cases())
    assert performed.usage.tokens <= 9000
    if kind is None:
        assert isinstance(performed.body, PlanProposed)
    else:
        assert error_of(performed)[0] == kind


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (status(429, error_body("slow"), **{"retry-after": "7"}), "rate_limited"),
        (status(401, error_body("wrong")), "auth"),
        (status(503), "overloaded"),
        (httpx2.ConnectError("refused"), "network"),
    ],
)
async def test_a_refusal_costs_nothing_and_is_not_retried(reply: Any, kind: str) -> None:
    server = Server([reply])
    performed = await plan_with(server)
    assert error_of(performed)[0] == kind
    assert performed.usage == Usage()
    assert len(server.requests) == 1


async def test_explicit_zero_usage_is_zero() -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    performed = await plan_with(Server([completion(usage=zero)]))
    assert performed.usage == Usage()


async def test_an_answer_that_is_no_plan_is_repaired_once_with_its_fault() -> None:
    server = Server([completion(text='{"actions": []}'), completion()])
    performed = await plan_with(server)
    assert isinstance(performed.body, PlanProposed)
    assert performed.usage.input_tokens == 80
    *_, answer, fault = server.requests[1]["messages"]
    assert answer == {"role": "assistant", "content": '{"actions": []}'}
    assert "summary: Field required" in fault["content"]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (completion(text="never"), "invalid_output"),
        (completion(text=None), "invalid_output"),
        (completion(text='{"summ', finish_reason="length"), "invalid_output"),
        (completion(text=plan_text("x", {"tool": "rm", "args": {}})), "tool_not_found"),
        (completion(text=plan_text("x", write_file("../x", ""))), "invalid_arguments"),
        (completion(text=plan_text("x", write_file("safe.py", ""))), "permission_denied"),
    ],
)
async def test_there_is_one_repair_turn_and_then_the_step_fails(bad: Any, kind: str) -> None:
    checks = [{"name": "a", "kind": "file", "path": "a"}]
    goal = openai_goal(verify={"checks": checks, "protected": ["safe.py"]})
    server = Server([bad, bad, bad])
    performed = await plan_with(server, goal=goal)
    assert error_of(performed)[0] == kind
    assert len(server.requests) == 2
    assert performed.usage.input_tokens == 80


@pytest.mark.parametrize(
    "reply",
    [
        completion(finish_reason="content_filter"),
        {
            "choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 10},
        },
    ],
)
async def test_a_filtered_answer_is_charged_and_not_repaired(reply: Any) -> None:
    server = Server([reply])
    performed = await plan_with(server)
    assert error_of(performed)[0] == "content_filtered"
    assert performed.usage.tokens == 50
    assert len(server.requests) == 1


async def test_no_repair_is_asked_for_that_the_grant_does_not_cover() -> None:
    server = Server([completion(text="no plan", usage=None), completion()])
    performed = await plan_with(server, grant=grant_for(openai_goal(), tokens=8000))
    assert error_of(performed) == (
        "invalid_output",
        "the answer is no JSON: Expecting value: line 1 column 1 (char 0)",
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize(("tokens", "cost"), [(600, None), (4000, None), (None, 0), (None, 3000)])
async def test_a_call_that_does_not_fit_into_the_grant_is_not_made(
    tokens: int | None, cost: int | None
) -> None:
    server = Server([])
    performed = await plan_with(server, grant=grant_for(openai_goal(), tokens=tokens, cost=cost))
    kind, message = error_of(performed)
    assert kind == "budget_too_small"
    assert "raise budget.tokens or budget.usd" in message
    assert server.requests == []
    assert performed.usage == Usage()


async def test_a_prompt_that_the_goal_itself_forbids_says_which_limit_to_raise() -> None:
    server = Server([])
    performed = await plan_with(server, goal=openai_goal(max_input=2000))
    kind, message = error_of(performed)
    assert kind == "context_overflow"
    assert "planner.max_input_tokens is 2000: raise it" in message
    assert server.requests == []


async def test_the_output_cap_shrinks_to_what_the_grant_still_covers() -> None:
    server = Server([completion()])
    goal = openai_goal(max_output=4000)
    await plan_with(server, goal=goal, grant=grant_for(goal, tokens=9000))
    assert 256 <= server.requests[0]["max_tokens"] < 4000
    assert sum(server.worst_cases()) <= 9000


async def test_a_refused_format_leads_down_the_ladder_and_is_remembered() -> None:
    known = Capabilities()
    refusals = [
        status(500, error_body("Input should be 'text' or 'json_object': response_format")),
        status(400, error_body("response_format is not supported")),
    ]
    server = Server([*refusals, completion()])
    performed = await plan_with(server, capabilities=known)
    assert isinstance(performed.body, PlanProposed)
    formats = [body.get("response_format", {}).get("type") for body in server.requests]
    assert formats == ["json_schema", "json_object", None]
    assert '"additionalProperties"' in server.requests[1]["messages"][0]["content"]
    again = Server([completion()])
    await plan_with(again, capabilities=known)
    assert "response_format" not in again.requests[0]


async def test_a_rung_that_the_grant_no_longer_covers_is_left_to_the_next_attempt() -> None:
    known = Capabilities()
    server = Server([status(500, error_body("json_schema is unknown"))])
    grant = grant_for(openai_goal(), tokens=9000)
    performed = await plan_with(server, capabilities=known, grant=grant)
    assert error_of(performed)[0] == "overloaded"
    assert len(server.requests) == 1
    assert known.of("test-model") == Features(format="json_object")


async def test_the_newer_name_of_the_cap_is_taken_where_the_older_is_refused() -> None:
    refused = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server = Server([status(400, error_body(refused)), completion()])
    performed = await plan_with(server)
    assert isinstance(performed.body, PlanProposed)
    assert server.requests[1]["max_completion_tokens"] == 1000
    assert "max_tokens" not in server.requests[1]


async def test_a_stopped_step_leaves_the_call_and_is_charged_in_full() -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            asked.set()
            await never.wait()
            raise AssertionError("never")

    settings = PlannerSettings.model_validate({"OPENAI_API_KEY": KEY})
    llm = Llm(settings, transport=Silent())
    request = plan_request(openai_goal())
    running = asyncio.create_task(PlanStep(MemoryWorkspaces(), llm, 30.0).perform(request))
    await asyncio.wait_for(asked.wait(), 5)
    request.stop.set()
    performed = await asyncio.wait_for(running, 5)
    await llm.close()
    assert error_of(performed)[0] == "timeout"
    assert performed.usage.estimated
    assert performed.usage.tokens > 1000


async def test_no_call_is_made_after_the_deadline() -> None:
    goal = openai_goal()
    late = grant_for(goal).model_copy(update={"deadline": datetime.now(UTC) + timedelta(seconds=1)})
    server = Server([])
    performed = await plan_with(server, goal=goal, grant=late)
    assert error_of(performed)[0] == "timeout"
    assert performed.usage == Usage()
    assert server.requests == []


async def test_no_call_is_made_for_a_loop_that_was_stopped_meanwhile() -> None:
    server = Server([])
    performed = await plan_with(server, stopped=True)
    assert error_of(performed)[0] == "timeout"
    assert performed.usage == Usage()


async def test_a_bound_that_turns_out_too_small_makes_no_call() -> None:
    def treacherous(text: str) -> int:
        return len(text) if "mark of data blocks" not in text or "[data" not in text else 10**6

    server, request = Server([]), plan_request(openai_goal())
    llm = Llm(settings_with(KEY), transport=httpx2.MockTransport(server))
    spec = request.goal.planner
    assert isinstance(spec, OpenAI)
    view = View((("a", 1),), (("a", "1"),))
    dialogue = Dialogue(
        request=request,
        spec=spec,
        situation=Situation(request.goal, request.grant, request.data, view),
        llm=llm,
        capabilities=Capabilities(),
        timeout_s=1.0,
        now=lambda: datetime.now(UTC),
        bound=treacherous,
    )
    with pytest.raises(StepError) as error:
        await dialogue.plan()
    await llm.close()
    assert error.value.info.kind == "context_overflow"
    assert server.requests == []


async def test_a_planner_without_a_key_says_so_instead_of_calling() -> None:
    llm = Llm(PlannerSettings.model_validate({"OPENAI_API_KEY": None}))
    assert llm.keyless
    with pytest.raises(Exception, match="OPENAI_API_KEY"):
        await PlanStep(MemoryWorkspaces(), llm, 1.0).perform(plan_request(openai_goal()))
    await llm.close()


async def test_an_endpoint_of_ones_own_needs_no_key() -> None:
    performed = await plan_with(Server([completion()]), key=None)
    assert isinstance(performed.body, PlanProposed)


def test_empty_variables_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    found = PlannerSettings()
    assert found.openai_api_key is None
    assert found.openai_base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    "reply",
    [
        status(401, error_body(f"Incorrect API key provided: {KEY}")),
        status(200, f"<html>{KEY}"),
        status(500, KEY),
        completion(text=plan_text(f"My key is {KEY}", write_file("a", KEY))),
        completion(text=f"{KEY} is no plan"),
        {"choices": [{"message": {"refusal": f"not for {KEY}"}}]},
        httpx2.ReadError(KEY),
        RuntimeError(KEY),
    ],
)
async def test_the_key_is_in_no_result(reply: Any) -> None:
    performed = await plan_with(Server([reply, reply]))
    assert KEY not in performed.body.model_dump_json()
    assert KEY not in repr(performed)


async def test_a_fault_of_the_program_does_not_hide_what_was_spent() -> None:
    class Broken(Capabilities):
        def of(self, model: str) -> Features:
            if server.requests:
                raise RuntimeError("a bug")
            return Features()

    server = Server([completion(text="no plan")])
    performed = await plan_with(server, capabilities=Broken())
    assert error_of(performed) == ("internal", "unexpected RuntimeError in planning")
    assert performed.usage.tokens == 50


async def test_a_secret_of_this_process_in_the_workspace_reaches_no_model() -> None:
    server = Server([completion()])
    files = MemoryWorkspaces({"notes.txt": f"the key is {KEY}".encode(), KEY: b"1"})
    llm = Llm(settings_with("sk-another-one"), transport=httpx2.MockTransport(server))
    step = PlanStep(files, llm, 30.0, redactor=Redactor([KEY]))
    await step.perform(plan_request(openai_goal(), revision="a" * 40))
    await llm.close()
    assert "the key is " in server.requests[0]["messages"][1]["content"]
    assert KEY not in json.dumps(server.requests)


async def test_a_workspace_that_cannot_be_read_costs_nothing() -> None:
    class Away(MemoryWorkspaces):
        async def ls(self, loop: str, revision: str, /) -> list[File]:
            raise BusUnavailableError("no answer from the bus")

    server = Server([])
    with pytest.raises(StepError, match="no answer") as refused:
        await plan_with(server, workspaces=Away())
    assert refused.value.info.kind == "network"
    assert server.requests == []


replies = st.sampled_from(
    [
        lambda: completion(),
        lambda: completion(usage=None),
        lambda: completion(text="no plan"),
        lambda: completion(text="no plan", usage=None),
        lambda: completion(text="x" * 20_000),
        lambda: status(429, error_body("slow")),
        lambda: status(500, "json_schema"),
        lambda: status(400, error_body("response_format")),
        lambda: status(500, "use max_completion_tokens"),
        lambda: status(200, "<html>"),
        lambda: httpx2.ReadTimeout("slow"),
    ]
)


@settings(max_examples=80, deadline=None)
@given(st.lists(replies, max_size=8), st.integers(500, 40_000), st.integers(0, 60_000))
def test_whatever_the_server_does_no_call_goes_beyond_the_grant(
    makers: list[Callable[[], Any]], tokens: int, cost: int
) -> None:
    server = Server([make() for make in makers])
    grant = grant_for(openai_goal(), tokens=tokens, cost=cost)
    performed = asyncio.run(plan_with(server, grant=grant))
    assert performed.usage.tokens <= tokens
    assert performed.usage.cost_microusd <= cost
    assert len(server.requests) <= 5
    for worst in server.worst_cases():
        assert worst <= tokens


async def test_how_a_plan_was_asked_for_is_recorded_in_it() -> None:
    server = Server([completion(text="no plan"), completion()])
    performed = await plan_with(server)
    assert isinstance(performed.body, PlanProposed)
    made = performed.body.plan.made
    assert made is not None
    assert (made.model, made.format, made.calls) == ("test-model", "json_schema", 2)
    assert made.prompts.keys() == {"plan_v2"}
    assert {use.name for use in made.sections} == {"map"}
    assert made.digest.startswith("sha256:")


async def test_facts_claims_questions_and_expectations_are_taken_from_an_answer() -> None:
    said = {
        "summary": "s",
        "actions": [{**write_file("a", "1"), "expect": "a is there"}],
        "remember": ["the file is a"],
        "claims_met": True,
        "question": "Is that right?",
        "rule": "by-hand",
        "recalled": ["m1"],
        "made": {"model": "other", "format": "text", "calls": 1, "limit": 1},
    }
    performed = await plan_with(Server([completion(text=json.dumps(said))]))
    assert isinstance(performed.body, PlanProposed)
    plan = performed.body.plan
    assert plan.actions[0].expect == "a is there"
    assert (plan.remember, plan.claims_met, plan.question) == (
        ("the file is a",),
        True,
        "Is that right?",
    )
    assert (plan.rule, plan.recalled) == (None, ()), "these are not the model's to say"
    assert plan.made is not None
    assert plan.made.model == "test-model"


async def test_settings_that_a_server_refuses_are_left_out_from_then_on() -> None:
    planner = {"backend": "openai", "model": "m", "temperature": 0.2, "effort": "low", "seed": 7}
    known = Capabilities()
    refusals = [
        status(400, error_body("Unsupported parameter: 'temperature'")),
        status(400, error_body("Unknown field reasoning_effort")),
    ]
    server = Server([*refusals, completion(), completion()])
    for _ in range(2):
        performed = await plan_with(server, goal=openai_goal(planner=planner), capabilities=known)
        assert isinstance(performed.body, PlanProposed)
    first, *_, last = server.requests
    assert (first["temperature"], first["reasoning_effort"], first["seed"]) == (0.2, "low", 7)
    assert last["seed"] == 7
    assert "temperature" not in last
    assert "reasoning_effort" not in last
    assert len(server.requests) == 4


async def test_cached_and_reasoning_tokens_are_counted_and_the_cached_cost_less() -> None:
    usage = {
        "prompt_tokens": 40,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    price = PRICE.model_copy(update={"cached_usd_per_million": Decimal("0.1")})
    performed = await plan_with(Server([completion(usage=usage)]), price=price)
    assert (performed.usage.cached_tokens, performed.usage.reasoning_tokens) == (30, 4)
    assert performed.usage.cost_microusd == 10 + 3 + 20
