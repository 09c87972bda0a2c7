"""Answers piece by piece: told while they come, paid for as whole ones, never taken for whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from llm import GOOD, completion
from loopwright.budget import Usage
from loopwright.errors import ErrorInfo
from loopwright.events import PlanRequested
from loopwright.results import PlanProposed, StepFailed
from loopwright.service.llm.capabilities import STREAM, Capabilities, Features
from loopwright.service.llm.client import Llm, Told
from loopwright.service.llm.failures import Failure
from loopwright.service.llm.settings import LlmSettings
from loopwright.service.llm.spend import MESSAGE_TOKENS, one_per_byte
from loopwright.service.step import Performed, Request
from loopwright.views import view
from loopwright_cli.render import status_line
from loopwright_planner.step import PlanStep
from planning import MemoryWorkspaces, openai_goal, plan_request
from table import Table

KEY = "sk-canary-55e0aa"
USAGE = {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50}


@dataclass
class Telling:
    """Keeps what was told."""

    heard: list[int] = field(default_factory=list)

    def of(self, request: Request[PlanRequested], model: str, /) -> Told:
        """What one call tells its characters to."""

        async def told(chars: int) -> None:
            self.heard.append(chars)

        return told


@dataclass
class Server:
    """A fake at the transport seam; a reply is a body, or the lines of a stream."""

    replies: list[Any]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(json.loads(request.content))
        reply = self.replies.pop(0)
        if isinstance(reply, httpx2.Response):
            return reply
        if isinstance(reply, dict):
            return httpx2.Response(200, json=reply)
        text = "".join(f"data: {line}\n\n" for line in reply)
        return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> str:
    return json.dumps(
        {"choices": [{"delta": {"content": text, **more}, "finish_reason": finish}], "usage": None}
    )


def pieces(text: str = GOOD, size: int = 9) -> list[str]:
    return [delta(text[at : at + size]) for at in range(0, len(text), size)]


END = (delta(finish="stop"), json.dumps({"choices": [], "usage": USAGE}), "[DONE]")


async def plan(server: Server, telling: Telling, known: Capabilities | None = None) -> Performed:
    settings = LlmSettings.model_validate(
        {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    )
    llm = Llm(settings, transport=httpx2.MockTransport(server))
    capabilities = known or Capabilities()
    step = PlanStep(MemoryWorkspaces(), llm, 30.0, capabilities=capabilities, telling=telling)
    try:
        return await step.perform(plan_request(openai_goal()))
    finally:
        await llm.close()


def kind_of(performed: Performed) -> str:
    assert isinstance(performed.body, StepFailed), performed.body
    return performed.body.error.kind


def worst(body: dict[str, Any]) -> int:
    schema = body["response_format"]["json_schema"]["schema"]
    beside = one_per_byte(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
    texts = sum(one_per_byte(item["content"]) + MESSAGE_TOKENS for item in body["messages"])
    return texts + beside + int(body["max_tokens"])


async def test_a_streamed_plan_is_told_while_it_comes_and_costs_what_its_usage_says() -> None:
    server, telling = Server([[*pieces(), *END]]), Telling()
    performed = await plan(server, telling)
    assert isinstance(performed.body, PlanProposed)
    assert performed.usage == Usage(input_tokens=40, output_tokens=10, cost_microusd=60)
    assert telling.heard == sorted(telling.heard)
    assert telling.heard[-1] == len(GOOD)
    sent = server.requests[0]
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([], "network"),
        (pieces(), "network"),
        ([*pieces(), END[1], "[DONE]"], "network"),
        ([*pieces(), '{"choices": [{"de'], "invalid_output"),
        (["[]"], "invalid_output"),
        ([*pieces(), '{"error": {"message": "busy", "code": 529}}'], "overloaded"),
    ],
    ids=["empty", "cut", "cut but charged", "malformed", "no object", "error"],
)
async def test_a_stream_that_is_not_whole_is_a_failure_and_charged_in_full(
    lines: list[str], kind: str
) -> None:
    server = Server([lines])
    performed = await plan(server, Telling())
    assert kind_of(performed) == kind
    assert len(server.requests) == 1
    assert performed.usage.estimated
    assert performed.usage.tokens == worst(server.requests[0])


async def test_a_server_that_answers_at_once_is_read_as_well() -> None:
    telling = Telling()
    performed = await plan(Server([completion()]), telling)
    assert isinstance(performed.body, PlanProposed)
    assert performed.usage.tokens == 50
    assert telling.heard == []


async def test_a_page_in_place_of_a_stream_is_no_answer() -> None:
    page = httpx2.Response(200, text="<html>", headers={"content-type": "text/html"})
    assert kind_of(await plan(Server([page]), Telling())) == "invalid_output"


async def test_where_streams_hold_no_usage_whole_answers_are_asked_for_from_then_on() -> None:
    known = Capabilities()
    performed = await plan(Server([[*pieces(), END[0], END[2]]]), Telling(), known)
    assert isinstance(performed.body, PlanProposed)
    assert performed.usage.estimated
    again = Server([completion()])
    assert (await plan(again, Telling(), known)).usage.tokens == 50
    assert "stream" not in again.requests[0]


async def test_a_refusal_is_put_together_too_and_the_key_is_in_no_answer() -> None:
    said = [delta(refusal="I will not "), delta(refusal=f"tell {KEY}"), *END]
    performed = await plan(Server([said]), Telling())
    assert kind_of(performed) == "content_filtered"
    assert KEY not in repr(performed)


@pytest.mark.parametrize(
    ("said", "streams"),
    [
        ("stream_options is not supported", False),
        ("streaming is unknown", False),
        ("upstream refused", True),
    ],
)
def test_streams_are_given_up_only_where_they_are_named(said: str, streams: bool) -> None:
    failure = Failure(ErrorInfo(kind="invalid_arguments", message=said), False, 400, said)
    lower = Features().without(failure)
    assert (lower is None or STREAM not in lower.dropped) is streams


def test_the_moving_line_says_what_is_being_written() -> None:
    table = Table(openai_goal())
    table.begin()
    shown = view(table.loop)
    assert "~120 tok written" in status_line(shown, written=120).plain
    assert "written" not in status_line(shown).plain
