"""What goes wrong with models, by two servers that nobody here wrote, against the whole line.

Each fault ends in the policy of docs/errors.md, the loop goes on, and the log and the server's own
meter agree to the token.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from aimock import PROGRAM, Aimock, aimock
from line import Line, Scripted
from llm import GOOD, scripted_model
from loopwright.chain import LoopEvent
from loopwright.events import PlanRequested
from loopwright.goal import Goal
from loopwright.service.llm.client import Llm, Told
from loopwright.service.llm.settings import LlmSettings
from loopwright.service.llm.spend import MESSAGE_TOKENS, one_per_byte
from loopwright.service.step import Performed, Request
from loopwright_planner.step import PlanStep
from planning import MemoryWorkspaces, openai_goal

KEY = "sk-canary-91d7c2"
USAGE = {"prompt_tokens": 611, "completion_tokens": 37, "total_tokens": 648}


class Unheard:
    """Answers are streamed, and nobody watches."""

    def of(self, request: Request[PlanRequested], model: str, /) -> Told:
        """Nowhere to tell."""

        async def told(_: int) -> None:
            """Nobody hears."""

        return told


@dataclass
class Led(Scripted):
    """The planner's own step; the others are scripted."""

    planner: PlanStep | None = None

    async def perform(self, request: Request[Any]) -> Performed:
        if request.grant.role == "planner" and self.planner is not None:
            return await self.planner.perform(request)
        return await super().perform(request)


@asynccontextmanager
async def led_by(line: Line, base_url: str) -> AsyncIterator[None]:
    """The line with a planner that calls this endpoint."""
    settings = LlmSettings.model_validate({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url})
    llm = Llm(settings)
    step = PlanStep(MemoryWorkspaces({"a.txt": b"here"}), llm, 30.0, telling=Unheard())
    line.script = Led(planner=step)
    line.coordinator()
    await line.work()
    try:
        yield
    finally:
        line.stop.set()
        await asyncio.gather(*line.tasks)
        await llm.close()


def goal_for(model: str) -> Goal:
    planner = {
        "backend": "openai",
        "model": model,
        "max_input_tokens": 16_000,
        "max_output_tokens": 1000,
    }
    # A step down the ladder is not what is looked for here: the fault's own policy is.
    return openai_goal(planner=planner, name=model, limits={"attempts": 9})


def failures(events: list[LoopEvent]) -> list[str]:
    """The kinds of error that the log has of the loop's steps, in order."""
    settled = [getattr(event.data, "settles", None) for event in events]
    return [item.error.kind for item in settled if item is not None and item.error is not None]


LLMOCK: dict[str, Any] = {
    "rate_limited": {"type": "fail", "status": 429, "retry_after": 1},
    "overloaded": {"type": "fail", "status": 529},
    "network": {"type": "stream_fault", "kind": "truncate", "after_chunks": 2},
    "invalid_output": {"type": "stream_fault", "kind": "malformed", "after_chunks": 2},
}


async def test_llmock_finds_nothing_wrong_with_how_its_faults_are_met(line: Line) -> None:
    with scripted_model() as model:
        async with led_by(line, model.base_url):
            for kind, fault in LLMOCK.items():
                # A cut stream takes its words from a reply, so that it needs one of its own.
                model.queue(fault, *([GOOD] if fault["type"] == "stream_fault" else []), GOOD)
                events = await line.events(await line.start(goal_for("test-model")))
                assert failures(events) == [kind]
                assert (await line.loop(events[0].subject)).ended == "achieved"
        verdict = model.verdict()
        assert verdict["passed"], verdict
        assert verdict["findings"] == []
        assert verdict["faults_injected"] == len(LLMOCK)
        assert {item["sdk_retry_count"] for item in model.requests()} <= {0}


def answered(content: str = GOOD, **more: Any) -> dict[str, Any]:
    return {"response": {"content": content, "usage": USAGE, **more}}


def refused(status: int, **more: Any) -> dict[str, Any]:
    error = {"message": "not now", "type": "server_error"}
    return {"response": {"error": error, "status": status, **more}}


#: First answer of a model, the errors that the log has then, and what the server counts of it:
#: its usage, nothing, or nobody knows what (`worst`).
AIMOCK: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "well": (answered(), [], "usage"),
    "429": (refused(429, retryAfter=1), ["rate_limited"], "nothing"),
    "500": (refused(500), ["overloaded"], "worst"),
    "503": (refused(503), ["overloaded"], "nothing"),
    "529": (refused(529), ["overloaded"], "nothing"),
    "cut": (answered() | {"truncateAfterChunks": 2}, ["network"], "worst"),
    "lost": (answered() | {"chaos": {"disconnectRate": 1}}, ["network"], "worst"),
    "rubbish": (answered() | {"chaos": {"malformedRate": 1}}, ["invalid_output"], "worst"),
    "filtered": (answered(finishReason="content_filter"), ["content_filtered"], "usage"),
    "too-long": (answered(finishReason="length"), [], "usage"),
    "no-plan": (answered("I have done it all."), [], "usage"),
    "other-schema": (answered('{"steps": []}'), [], "usage"),
    "empty": (answered(""), [], "usage"),
}


def fixtures() -> list[dict[str, Any]]:
    first = [
        {"match": {"model": f"m-{name}", "sequenceIndex": 0}} | fault
        for name, (fault, *_) in AIMOCK.items()
    ]
    return [*first, *({"match": {"model": f"m-{name}"}} | answered() for name in AIMOCK)]


def metered(model: Aimock, name: str) -> int:
    """What the server counted for a model, and the worst case where it cannot know."""
    total, counts = 0, AIMOCK[name][2]
    mine = [item for item in model.journal() if item["body"]["model"] == f"m-{name}"]
    for index, item in enumerate(mine):
        if index or counts == "usage":
            total += item["response"]["fixture"]["response"]["usage"]["total_tokens"]
        elif counts == "worst":
            total += worst(item["body"])
    assert len(mine) == (1 if name == "well" else 2)
    return total


def worst(body: dict[str, Any]) -> int:
    schema = body["response_format"]["json_schema"]["schema"]
    beside = one_per_byte(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
    texts = sum(one_per_byte(item["content"]) + MESSAGE_TOKENS for item in body["messages"])
    return texts + beside + int(body["max_tokens"])


@pytest.mark.skipif(not PROGRAM.exists(), reason="`make npm` has not been run")
async def test_aimocks_own_meter_agrees_with_the_log_to_the_token_whatever_goes_wrong(
    line: Line,
) -> None:
    with aimock(fixtures()) as model:
        async with led_by(line, model.base_url):
            loops = {name: await line.start(goal_for(f"m-{name}")) for name in AIMOCK}
            for name, loop in loops.items():
                assert failures(await line.events(loop)) == AIMOCK[name][1], name
                ended = await line.loop(loop)
                assert ended.ended == "achieved", name
                assert ended.spent.tokens == metered(model, name), name
                assert ended.reserved.tokens == 0
