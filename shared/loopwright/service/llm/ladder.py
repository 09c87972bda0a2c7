"""One answer of a model, stepping down the ladder of features; every call is paid from a purse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from loopwright.errors import ErrorInfo, StepError
from loopwright.service.llm.capabilities import Capabilities, Features
from loopwright.service.llm.client import Call, CallFailedError
from loopwright.service.llm.completion import Answer
from loopwright.service.llm.guarded import Asks
from loopwright.service.llm.spend import Purse, Worst
from loopwright.wire import Json

log = structlog.get_logger()

#: An error's message in the log.
MAX_MESSAGE_CHARS = 2000

#: The call and its worst case, which fits into what is left of the purse; StepError if none does.
Compose = Callable[[Features], tuple[Call, Worst]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """A model behind its endpoint, and what is known of what it takes."""

    llm: Asks
    capabilities: Capabilities
    purse: Purse

    async def ask(self, model: str, compose: Compose, stop: asyncio.Event) -> Answer:
        """The answer, charged; StepError for a failure of the endpoint."""
        while True:
            features = self.capabilities.of(model)
            call, worst = compose(features)
            try:
                answer = await self.llm.ask(call, stop)
            except CallFailedError as error:
                failure = error.failure
                if failure.costs:
                    self.purse.charge(None, worst)
                lower = features.without(failure)
                if lower is None:
                    raise step_error(failure.info) from None
                log.info("the server refuses a feature", was=features, next=lower)
                self.capabilities.learn(model, lower)
            else:
                self.purse.charge(answer.usage, worst)
                return answer


def step_error(info: ErrorInfo) -> StepError:
    """A failure as the step's own."""
    message = info.message[:MAX_MESSAGE_CHARS]
    return StepError(info.kind, message, retry_after_s=info.retry_after_s)


def response_format(features: Features, name: str, schema: Json) -> Json:
    """The `response_format` that asks for JSON, as far as the server takes it."""
    match features.format:
        case "json_schema":
            strict = {"name": name, "strict": True, "schema": schema}
            return {"type": "json_schema", "json_schema": strict}
        case "json_object":
            return {"type": "json_object"}
        case "text":
            return None
