"""What earlier loops have learned that fits this one: asked of the state service before planning.

It only helps, so nothing waits for it: a state service that is away, slow or says no costs a loop
its memories and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

import nats.errors
import structlog
from nats.aio.client import Client
from pydantic import ValidationError

from loopwright import subjects
from loopwright.events import PlanRequested
from loopwright.memory import Recalled
from loopwright.service.step import Request

log = structlog.get_logger()

#: How long the answer is waited for, in seconds.
ANSWER_S = 2.0
#: Memories that a plan is made with.
MOST = 5
#: Of the question, in characters.
QUESTION_CHARS = 8_000


class Recall(Protocol):
    """Memories that fit a loop as it is now."""

    async def __call__(self, request: Request[PlanRequested], /) -> tuple[Recalled, ...]:
        """The best first; none where nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class StateRecall:
    """Asks the state service."""

    nc: Client
    answer_s: float = ANSWER_S

    async def __call__(self, request: Request[PlanRequested], /) -> tuple[Recalled, ...]:
        """The memories of the loop's tenant that fit its goal and what fails."""
        query = json.dumps({"text": question(request), "k": MOST}).encode()
        try:
            message = await self.nc.request(
                subjects.recall(request.tenant), query, timeout=self.answer_s
            )
            answer = json.loads(message.data)
            if answer.get("error"):
                log.warning("no memories", why=str(answer["error"]))
                return ()
            found = [Recalled.model_validate(item) for item in answer["memories"]]
        except (nats.errors.Error, TimeoutError, ConnectionError) as error:
            log.info("no memories: the state service does not answer", error=type(error).__name__)
            return ()
        except (ValueError, ValidationError, KeyError, AttributeError, TypeError):
            log.warning("no memories: the answer cannot be read")
            return ()
        return tuple(found)


def question(request: Request[PlanRequested]) -> str:
    """What memories are compared with: the goal, and what fails now."""
    goal, verdict = request.goal, request.data.verdict
    failing = [c for c in verdict.checks if c.status != "passed"] if verdict else []
    lines = [goal.name, goal.objective, *goal.constraints]
    lines += [f"{check.name} {check.message}" for check in failing]
    return "\n".join(lines)[:QUESTION_CHARS]


def nothing_known() -> Recall:
    """For planners without a state service."""

    async def none(_: Request[PlanRequested], /) -> tuple[Recalled, ...]:
        return ()

    return none
