"""Live progress of an answer, told on the bus to whoever watches: ephemeral, never waited for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import nats.errors
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.events import PlanRequested
from loopwright.progress import StepProgress
from loopwright.service.llm.client import Told
from loopwright.service.step import Request

#: Between two messages of an answer, in seconds.
EVERY_S = 0.25
#: What is taken for a token, in characters.
TOKEN_CHARS = 4


class Tells(Protocol):
    """Where progress is told."""

    def of(self, request: Request[PlanRequested], model: str, /) -> Told:
        """What one call tells its characters to."""
        ...


@dataclass(frozen=True, slots=True)
class BusTelling:
    """Tells it to those who listen on the bus."""

    nc: Nats

    def of(self, request: Request[PlanRequested], model: str, /) -> Told:
        """What one call tells its characters to."""
        return _Answer(self.nc, request, model)


@dataclass(slots=True)
class _Answer:
    nc: Nats
    request: Request[PlanRequested]
    model: str
    told_at: float = field(default=-EVERY_S)

    async def __call__(self, chars: int) -> None:
        if not chars or monotonic() - self.told_at < EVERY_S:
            return
        self.told_at = monotonic()
        grant = self.request.grant
        found = StepProgress(
            role=grant.role,
            iteration=grant.iteration,
            attempt=grant.attempt,
            model=self.model,
            output_tokens=-(-chars // TOKEN_CHARS),
        )
        subject = subjects.progress(self.request.loop)
        with contextlib.suppress(nats.errors.Error, ConnectionError, TimeoutError):
            await self.nc.publish(subject, found.model_dump_json().encode())
