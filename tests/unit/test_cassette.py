"""Cassettes: what was recorded is played back exactly, and what was not is refused with why."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from loopwright.errors import SettingsError
from loopwright.service.llm.cassette import Player, Recorder, first_difference, load
from loopwright.service.llm.client import Call, CallFailedError, Llm
from loopwright.service.llm.settings import LlmSettings
from loopwright.service.logs import Redactor

KEY = "sk-secret-of-the-recording"
URL = "http://127.0.0.1:9/v1"


def settings(**more: Any) -> LlmSettings:
    return LlmSettings.model_validate({"OPENAI_BASE_URL": URL, **more})


def call(content: str) -> Call:
    return Call(
        model="m", messages=(("user", content),), max_output_tokens=9, cap="max_tokens", timeout_s=9
    )


async def asked(transport: httpx2.AsyncBaseTransport, content: str, key: str = KEY) -> str | None:
    llm = Llm(settings(OPENAI_API_KEY=SecretStr(key)), transport=transport)
    try:
        return (await llm.ask(call(content), asyncio.Event())).text
    finally:
        await llm.close()


def endpoint(request: httpx2.Request) -> httpx2.Response:
    """Says back what it was told, and the key."""
    said = json.loads(request.content)["messages"][0]["content"]
    if said == "busy":
        return httpx2.Response(429, headers={"retry-after": "7", "x-other": "no"}, text="{}")
    message = {"content": f"{said} {request.headers['authorization']}"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return httpx2.Response(200, json={"choices": [{"message": message}], "usage": usage})


async def record(path: Path, *contents: str) -> None:
    recorder = Recorder(httpx2.MockTransport(endpoint), path, Redactor([KEY]))
    for content in contents:
        await asked(recorder, content)


async def test_what_was_recorded_is_played_back_without_a_server(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    await record(path, "one", "two")
    player = Player(path)
    assert await asked(player, "two") == "two Bearer [redacted]"
    assert await asked(player, "one") == "one Bearer [redacted]"
    assert await asked(player, "one") == "one Bearer [redacted]"


async def test_no_secret_is_written(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    await record(path, f"my key is {KEY}")
    assert KEY not in path.read_text()
    assert await asked(Player(path, Redactor([KEY])), f"my key is {KEY}") is not None


async def test_failures_are_played_back_too(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    with pytest.raises(CallFailedError):
        await record(path, "busy")
    with pytest.raises(CallFailedError) as caught:
        await asked(Player(path), "busy")
    assert caught.value.failure.info.kind == "rate_limited"
    assert caught.value.failure.info.retry_after_s == 7
    assert load(path)[0].headers.keys() == {"retry-after"} | (
        load(path)[0].headers.keys() & {"content-type"}
    )


async def test_a_miss_names_the_first_difference_and_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    await record(path, "the sky is blue")
    with pytest.raises(CallFailedError) as caught:
        await asked(Player(path), "the sky is grey")
    said = caught.value.failure.info.message
    assert "exchange 1: messages[0].content was 'blue' (from character 11), now 'grey'" in said
    assert not caught.value.failure.costs


async def test_a_cassette_that_is_played_to_its_end_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    await record(path, "one")
    player = Player(path)
    await asked(player, "one")
    with pytest.raises(CallFailedError, match="all 1 exchanges are played"):
        await asked(player, "two")


@pytest.mark.parametrize(
    ("recorded", "now", "sentence"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1}, {"a": 2}, "a was 1, now 2"),
        ({"a": [1]}, {"a": [1, 2]}, "a has 2 items, 1 were recorded"),
        ({"a": {"b": "x"}}, {"a": {}}, "a.b was 'x', now None"),
        ("x", "xy", "the request was '' (from character 1), now 'y' (from character 1)"),
    ],
)
def test_a_difference_is_told_at_its_path(recorded: Any, now: Any, sentence: str) -> None:
    assert first_difference(recorded, now) == sentence


def test_a_file_that_is_no_cassette_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cassette.ndjson"
    with pytest.raises(SettingsError, match="cannot be read"):
        load(path)
    path.write_text("{}\n")
    with pytest.raises(SettingsError, match="is no cassette"):
        load(path)
