"""A model's endpoint behind its breaker: what planners and judges ask instead of the endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from loopwright.breaker import Holder
from loopwright.service.gate import Gate
from loopwright.service.limits import Limits
from loopwright.service.llm.client import Call, CallFailedError
from loopwright.service.llm.completion import Answer


class Asks(Protocol):
    """Whatever answers calls of a model."""

    async def ask(self, call: Call, stop: asyncio.Event) -> Answer:
        """The answer, or CallFailedError. Leaves off at once when `stop` is set."""
        ...


@dataclass(frozen=True, slots=True)
class GuardedLlm:
    """One attempt's calls. Raises StepError `dependency_down` or `rate_limited` for a call that
    must not be made now: it has cost nothing."""

    llm: Asks
    gate: Gate
    holder: Holder
    limits: Limits | None = None

    async def ask(self, call: Call, stop: asyncio.Event) -> Answer:
        """The answer; how the call ended is told to the model's breaker."""
        if self.limits is not None:
            await self.limits.wait(call.model, tokens_of(call), self.holder, stop)
        async with self.gate.call(f"llm:{call.model}", self.holder) as passage:
            try:
                answer = await self.llm.ask(call, stop)
            except CallFailedError as error:
                passage.failed(error.failure.info, stopped=stop.is_set())
                raise
            if answer.fault is not None:
                passage.failed(answer.fault)
            return answer


def tokens_of(call: Call) -> int:
    """What a provider counts at most for a call: its prompt at three bytes a token, its cap."""
    prompt = sum(len(content.encode()) for _, content in call.messages)
    return prompt // 3 + call.max_output_tokens
