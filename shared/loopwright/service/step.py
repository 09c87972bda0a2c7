"""What a worker does between its grant and its result; the shell around it is `worker.py`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from loopwright.budget import Usage
from loopwright.events import Grant, RequestData
from loopwright.goal import Goal
from loopwright.results import ResultBody

RequestT = TypeVar("RequestT", bound=RequestData)


@dataclass(frozen=True, slots=True)
class Request(Generic[RequestT]):
    """A claimed grant with all that is needed to do it."""

    loop: str
    goal: Goal
    grant: Grant
    data: RequestT
    stop: asyncio.Event
    """Set when the loop ends or the grant expires: leave off at once, kill what runs."""
    tenant: str = "default"
    """Whose loop it is."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A step's result and what it used."""

    body: ResultBody
    usage: Usage = field(default_factory=Usage)


class Step(Protocol[RequestT]):
    """One role's work. Raises StepError for a failure that used nothing.

    A failure that used something returns Performed with StepFailed and the usage.
    """

    async def perform(self, request: Request[RequestT]) -> Performed:
        """Do the step within its grant."""
        ...
