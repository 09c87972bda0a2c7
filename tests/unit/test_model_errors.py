"""What a server says, as a table: one kind of error each, and whether the call must be paid for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import pytest

from llm import completion
from loopwright.service.llm.capabilities import Capabilities, Features
from loopwright.service.llm.completion import read_answer
from loopwright.service.llm.failures import (
    Failure,
    of_finish,
    of_status,
    of_transport,
    retry_after_s,
)
from loopwright.service.llm.spend import Tokens

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def error_body(message: str = "", **fields: Any) -> str:
    return json.dumps({"error": {"message": message, **fields}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "costs"),
    [
        (429, error_body("slow down"), "rate_limited", False),
        (429, error_body("x", code="insufficient_quota"), "billing", False),
        (429, error_body("You exceeded your current quota"), "billing", False),
        (402, "", "billing", False),
        (400, error_body("Your credit balance is too low"), "billing", False),
        (401, error_body("wrong key"), "auth", False),
        (403, error_body("no"), "auth", False),
        (403, error_body("flagged by moderation"), "content_filtered", False),
        (404, error_body("The model `x` does not exist"), "model_not_found", False),
        (400, error_body("x", code="model_not_found"), "model_not_found", False),
        (400, error_body("x", code="context_length_exceeded"), "context_overflow", False),
        (400, error_body("This model's maximum context length is 9"), "context_overflow", False),
        (413, "", "context_overflow", False),
        (400, error_body("x", code="content_filter"), "content_filtered", False),
        (400, error_body("temperature must be 1"), "invalid_arguments", False),
        (422, json.dumps({"detail": [{"msg": "bad"}]}), "invalid_arguments", False),
        (400, "[" * 100_000, "invalid_arguments", False),
        (409, "", "overloaded", False),
        (503, "", "overloaded", False),
        (529, "", "overloaded", False),
        (408, "", "timeout", True),
        (500, "<html>oops", "overloaded", True),
        (502, json.dumps("text"), "overloaded", True),
        (504, json.dumps({"error": "text"}), "overloaded", True),
    ],
)
def test_a_status_is_one_kind_of_error_and_costs_unless_it_is_a_refusal(
    status: int, body: str, kind: str, costs: bool
) -> None:
    failure = of_status(status, {}, body, NOW)
    assert (failure.info.kind, failure.costs) == (kind, costs)
    assert str(status) in failure.info.message


REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")


def caused(cause: Exception) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "costs"),
    [
        (caused(httpx2.ConnectError("refused")), "network", False),
        (caused(httpx2.ConnectTimeout("slow")), "network", False),
        (caused(httpx2.PoolTimeout("full")), "network", False),
        (caused(httpx2.UnsupportedProtocol("ftp")), "network", False),
        (caused(httpx2.ReadTimeout("slow")), "timeout", True),
        (caused(httpx2.WriteTimeout("slow")), "timeout", True),
        (openai.APITimeoutError(request=REQUEST), "timeout", True),
        (caused(httpx2.ReadError("cut")), "network", True),
        (caused(httpx2.RemoteProtocolError("closed")), "network", True),
        (httpx2.DecodingError("gzip"), "network", True),
        (RuntimeError("a fault in the client library"), "network", True),
    ],
)
def test_what_was_sent_costs_and_what_was_not_does_not(
    error: Exception, kind: str, costs: bool
) -> None:
    failure = of_transport(error)
    assert (failure.info.kind, failure.costs) == (kind, costs)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after_is_read_in_milliseconds_seconds_and_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("finish", "refusal", "kind"),
    [
        ("stop", None, None),
        (None, None, None),
        ("length", None, "invalid_output"),
        ("content_filter", None, "content_filtered"),
        ("stop", "I will not", "content_filtered"),
    ],
)
def test_how_an_answer_ended_may_be_an_error(
    finish: str | None, refusal: str | None, kind: str | None
) -> None:
    found = of_finish(finish, refusal)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}, Tokens(4, 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Tokens(0, 0)),
        ({"prompt_tokens": 4, "completion_tokens": 3}, Tokens(4, 3)),
        ({"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 20}, Tokens(4, 16, 0, 13)),
        ({"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 1}, Tokens(4, 3)),
        ({"prompt_tokens": 4}, None),
        ({"prompt_tokens": -4, "completion_tokens": 3}, None),
        ({"prompt_tokens": True, "completion_tokens": 3}, None),
        ({"prompt_tokens": "4", "completion_tokens": 3}, None),
        ([], None),
        (None, None),
    ],
)
def test_usage_is_taken_as_given_and_nonsense_is_no_usage(usage: Any, expected: Any) -> None:
    assert read_answer(json.dumps(completion(usage=usage)), NOW).usage == expected


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("<!doctype html><p>Sign in", "invalid_output", "is no JSON"),
        ('{"choices": [{"mess', "invalid_output", "is no JSON"),
        ("[" * 100_000, "invalid_output", "is no JSON"),
        ("[]", "invalid_output", "is no JSON object"),
        ('{"choices": []}', "invalid_output", "holds no message"),
        ('{"choices": [7]}', "invalid_output", "holds no message"),
        ('{"choices": [{"message": null}]}', "invalid_output", "holds no message"),
        (error_body("busy", code=429), "rate_limited", "busy"),
        (error_body("busy"), "overloaded", "busy"),
        ('{"error": "broken"}', "overloaded", "broken"),
    ],
)
def test_a_body_with_status_200_that_is_no_completion_says_what_it_is(
    body: str, kind: str, says: str
) -> None:
    answer = read_answer(body, NOW)
    assert answer.fault is not None
    assert answer.fault.kind == kind
    assert says in answer.fault.message
    assert answer.text is None


@pytest.mark.parametrize(
    ("features", "code", "said", "lower"),
    [
        (Features(), 400, "json_schema", Features("json_object")),
        (Features("json_object"), 422, "response_format", Features("text")),
        (Features("text"), 400, "response_format", None),
        (Features(), 429, "json_schema", None),
        (Features(), 400, "bad temperature", Features(dropped=frozenset({"temperature"}))),
        (Features(dropped=frozenset({"temperature"})), 400, "bad temperature", None),
        (Features(), 400, "seed is unknown", Features(dropped=frozenset({"seed"}))),
        (
            Features(cap="max_completion_tokens"),
            400,
            "use max_completion_tokens",
            None,
        ),
    ],
)
def test_features_go_down_only_for_a_refusal_of_theirs(
    features: Features, code: int, said: str, lower: Features | None
) -> None:
    info = of_status(code, {}, "", NOW).info
    assert features.without(Failure(info, costs=False, status=code, said=said)) == lower


def test_what_was_learnt_last_does_not_lead_up_the_ladder_again() -> None:
    known = Capabilities()
    known.learn("m", Features("text", "max_completion_tokens"))
    known.learn("m", Features("json_object"))
    assert known.of("m") == Features("text", "max_completion_tokens")
    assert known.of("another") == Features()
