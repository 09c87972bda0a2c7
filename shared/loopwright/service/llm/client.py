"""One call of a model behind an OpenAI-compatible endpoint: never retried, never without a cap.

The body is read here and not by the client library, whose parsing loses the usage of an answer
that it does not like. Nothing that leaves this module holds the key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

import httpx2

from loopwright.errors import ErrorInfo, LoopwrightError
from loopwright.service.llm.capabilities import CapField
from loopwright.service.llm.failures import Failure, of_status, of_transport
from loopwright.service.llm.settings import DEFAULT_BASE_URL, LlmSettings
from loopwright.service.llm.spend import Tokens
from loopwright.service.logs import Redactor
from loopwright.wire import Json

if TYPE_CHECKING:
    from openai import AsyncOpenAI

#: To make the connection, in seconds; the rest of a call's time is the model's.
CONNECT_S = 10.0
#: For servers that want no key; the client library insists on one.
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it is sent."""

    model: str
    messages: tuple[tuple[str, str], ...]
    """Role and content."""
    max_output_tokens: int
    cap: CapField
    timeout_s: float
    temperature: float | None = None
    effort: str | None = None
    seed: int | None = None
    response_format: Json = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back whole; `usage` is None where the provider gave none."""

    usage: Tokens | None
    text: str | None
    finish_reason: str | None = None
    refusal: str | None = None
    fault: ErrorInfo | None = None
    """Why there is no text, where the body was no completion."""


class CallFailedError(LoopwrightError):
    """A call that gave no answer."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.info.message)


class Llm:
    """The endpoint of this process."""

    def __init__(
        self,
        settings: LlmSettings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
        self._key = key
        self._base_url = settings.openai_base_url
        self._transport = transport
        self._redactor = Redactor([key])
        self._now = now
        self.keyless = (
            transport is None and not key and settings.openai_base_url == DEFAULT_BASE_URL
        )

    @cached_property
    def _client(self) -> AsyncOpenAI:
        """Made at the first call: importing it takes a second, and many goals need no model."""
        from openai import AsyncOpenAI

        transport = self._transport
        return AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=self._base_url,
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=transport) if transport else None,
        )

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            await self._client.close()

    async def ask(self, call: Call, stop: asyncio.Event) -> Answer:
        """The answer, or CallFailedError. Leaves off at once when `stop` is set."""
        sending = asyncio.create_task(self._send(call))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                {sending, stopping}, timeout=call.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                return sending.result()
            raise CallFailedError(_unfinished(call, stopped=stopping.done()))
        finally:
            for task in (sending, stopping):
                task.cancel()
            await asyncio.gather(sending, stopping, return_exceptions=True)

    async def _send(self, call: Call) -> Answer:
        from openai import APIStatusError

        failure: Failure | None = None
        try:
            raw = await self._client.chat.completions.with_raw_response.create(**_arguments(call))
            body = self._redactor.text(raw.text)
        except APIStatusError as error:
            response = error.response
            body = self._redactor.text(response.text)
            failure = of_status(response.status_code, response.headers, body, self._now())
        except Exception as error:  # whatever it was, the call may have been paid for
            failure = of_transport(error)
        if failure is not None:
            # Outside of the handler: the library's exception holds the request and its key.
            raise CallFailedError(failure)
        return read_answer(body, self._now())


def _unfinished(call: Call, *, stopped: bool) -> Failure:
    why = (
        "the call was stopped: the loop ended or its deadline passed"
        if stopped
        else f"the model's answer did not come within {call.timeout_s:.1f} s"
    )
    return Failure(ErrorInfo(kind="timeout", message=why), costs=True)


def _arguments(call: Call) -> Json:
    arguments: Json = {
        "model": call.model,
        "messages": [{"role": role, "content": content} for role, content in call.messages],
        call.cap: call.max_output_tokens,
        "timeout": httpx2.Timeout(call.timeout_s, connect=min(CONNECT_S, call.timeout_s)),
    }
    if call.temperature is not None:
        arguments["temperature"] = call.temperature
    if call.effort is not None:
        arguments["reasoning_effort"] = call.effort
    if call.seed is not None:
        arguments["seed"] = call.seed
    if call.response_format is not None:
        arguments["response_format"] = call.response_format
    return arguments


def read_answer(body: str, now: datetime) -> Answer:
    """An answer from a body with status 200, whatever it really is; its usage comes first."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _no_completion(None, f"is no JSON: {body[:80]!r}")
    if not isinstance(data, dict):
        return _no_completion(None, "is no JSON object")
    usage = _usage(data.get("usage"))
    error = data.get("error")
    choices = data.get("choices")
    if error and not choices:
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return Answer(usage, None, fault=of_status(status, {}, body, now).info)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return _no_completion(usage, "holds no message")
    message = choice["message"]
    return Answer(
        usage,
        _string(message.get("content")),
        finish_reason=_string(choice.get("finish_reason")),
        refusal=_string(message.get("refusal")),
    )


def _no_completion(usage: Tokens | None, why: str) -> Answer:
    message = f"the endpoint's answer {why}; check OPENAI_BASE_URL"
    return Answer(usage, None, fault=ErrorInfo(kind="invalid_output", message=message))


def _usage(data: Json) -> Tokens | None:
    """The usage; None if it is missing or makes no sense. Zero is zero.

    Some providers count hidden reasoning in the total alone: what the total has more is output.
    """
    if not isinstance(data, dict):
        return None
    prompt, completion = data.get("prompt_tokens"), data.get("completion_tokens")
    total = data.get("total_tokens")
    if not _is_count(prompt) or not _is_count(completion):
        return None
    hidden = total - prompt - completion if _is_count(total) else 0
    output = completion + max(0, hidden)
    cached = _detail(data, "prompt_tokens_details", "cached_tokens")
    reasoning = _detail(data, "completion_tokens_details", "reasoning_tokens")
    return Tokens(prompt, output, min(cached, prompt), min(max(reasoning, hidden), output))


def _detail(data: Json, part: str, name: str) -> int:
    """A count within a part of the usage; 0 where there is none."""
    details = data.get(part)
    value = details.get(name) if isinstance(details, dict) else None
    return value if _is_count(value) else 0


def _is_count(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None
