"""One call of a model behind an OpenAI-compatible endpoint: never retried, never without a cap.

The body is read here and not by the client library, whose parsing loses the usage of an answer
that it does not like. Nothing that leaves this module holds the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import httpx2

from loopwright.errors import ErrorInfo, LoopwrightError
from loopwright.service.llm.capabilities import CapField
from loopwright.service.llm.completion import Answer, read_answer
from loopwright.service.llm.failures import Failure, of_status, of_transport
from loopwright.service.llm.settings import DEFAULT_BASE_URL, LlmSettings
from loopwright.service.llm.stream import Streamed
from loopwright.service.logs import Redactor
from loopwright.wire import Json

if TYPE_CHECKING:
    from openai import AsyncOpenAI

#: To make the connection, in seconds; the rest of a call's time is the model's.
CONNECT_S = 10.0
_STREAM: Json = {"stream": True, "stream_options": {"include_usage": True}}
#: For servers that want no key; the client library insists on one.
_NO_KEY = "none"


#: Hears of an answer's characters so far, while it comes.
Told = Callable[[int], Awaitable[None]]


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
    told: Told | None = field(default=None, compare=False)
    """Where given, the answer is streamed, and this told how many characters have come."""


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

        try:
            found = await (self._receive(call) if call.told is None else self._stream(call))
        except APIStatusError as error:
            response = error.response
            body = self._redactor.text(response.text)
            found = of_status(response.status_code, response.headers, body, self._now())
        except Exception as error:  # whatever it was, the call may have been paid for
            found = of_transport(error)
        if isinstance(found, Failure):
            # Outside of the handler: the library's exception holds the request and its key.
            raise CallFailedError(found)
        return found

    async def _receive(self, call: Call) -> Answer | Failure:
        """The answer at once."""
        raw = await self._client.chat.completions.with_raw_response.create(**_arguments(call))
        return self._read(raw.text)

    async def _stream(self, call: Call) -> Answer | Failure:
        """The answer piece by piece; a server that knows no streams gives it at once."""
        assert call.told is not None
        create = self._client.chat.completions.with_streaming_response.create
        async with create(**_arguments(call), **_STREAM) as raw:
            if "text/event-stream" not in raw.headers.get("content-type", ""):
                return self._read(await raw.text())
            streamed = Streamed()
            async for line in raw.iter_lines():
                streamed.take(line)
                if streamed.over:
                    break
                await call.told(streamed.chars)
        found = streamed.answer(self._now())
        if isinstance(found, Failure):
            return found
        text, refusal = found.text, found.refusal
        return replace(found, text=self._hidden(text), refusal=self._hidden(refusal))

    def _read(self, body: str) -> Answer:
        return read_answer(self._redactor.text(body), self._now())

    def _hidden(self, text: str | None) -> str | None:
        return self._redactor.text(text) if text is not None else None


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
