"""Waiting for a provider's limits, shared by all planners and judges: nothing is held meanwhile
but the step's own grant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.breaker import Holder
from loopwright.errors import BusUnavailableError, StepError
from loopwright.rate import Buckets, Rate, Wait, take
from loopwright.records import Records, token

#: Kept of the time until the grant's deadline for the call itself, in seconds.
CALL_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The LIMITS stream with what the operator set for each model."""

    nc: Nats
    rates: Mapping[str, Rate] = field(default_factory=dict)

    async def wait(self, model: str, tokens: int, holder: Holder, stop: asyncio.Event) -> None:
        """Take a call's place; StepError `rate_limited` where it would come after the deadline."""
        rate = self.rates.get(model)
        if rate is None:
            return
        while (late := await self._take(model, rate, tokens)) > 0:
            left = (holder.deadline - datetime.now(UTC)).total_seconds() - CALL_S
            if late > left:
                why = f"the limits of {model} leave no room for {late:.1f} s"
                raise StepError(
                    "rate_limited", f"{why}, the step has {left:.1f} s", retry_after_s=late
                )
            try:
                await asyncio.wait_for(stop.wait(), late)
            except TimeoutError:
                continue
            raise StepError("timeout", "the step was stopped while it waited for a model's limits")

    async def _take(self, model: str, rate: Rate, tokens: int) -> float:
        """Seconds to wait, or 0 where the place was taken."""
        answer: Buckets | Wait | None = None

        def change(known: Buckets | None) -> Buckets | None:
            nonlocal answer
            answer = take(known or Buckets(model=model), rate, tokens, datetime.now(UTC))
            return answer if isinstance(answer, Buckets) else None

        records = Records(self.nc, subjects.LIMITS, Buckets)
        try:
            await records.change(subjects.limit(token(model)), change)
        except BusUnavailableError as error:
            raise StepError("network", f"the limits cannot be read: {error}") from error
        return answer.seconds if isinstance(answer, Wait) else 0.0
