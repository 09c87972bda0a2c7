"""How fast a model may be called by everybody together, as a pure function of one record.

A bucket of a tenth of a minute's quota that refills at nine tenths of the rate: whatever the calls,
no minute sees more than the quota. The record holds when each bucket is full again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from loopwright.wire import Wire

#: The part of a minute's quota that may be taken at once.
BURST = 0.1

#: Waits below this are none: times are rounded to microseconds. In seconds.
SLACK_S = 0.001


class Rate(Wire):
    """A provider's limits of a model; None is without limit."""

    requests: int | None = Field(default=None, ge=1)
    """A minute."""
    tokens: int | None = Field(default=None, ge=1)
    """A minute, input and output together."""


class Buckets(Wire):
    """A model's one record."""

    model: str
    requests_full_at: datetime | None = None
    tokens_full_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; then it may fit."""

    seconds: float


def take(buckets: Buckets, rate: Rate, tokens: int, now: datetime) -> Buckets | Wait:
    """Take one call of so many tokens, or how long to wait. A call that is larger than the bucket
    waits until it is full."""
    requests = _after(buckets.requests_full_at, rate.requests, 1, now)
    spent = _after(buckets.tokens_full_at, rate.tokens, tokens, now)
    late = max(_late_s(requests, rate.requests, 1, now), _late_s(spent, rate.tokens, tokens, now))
    if late > SLACK_S:
        return Wait(late)
    return buckets.model_copy(update={"requests_full_at": requests, "tokens_full_at": spent})


def _after(
    full_at: datetime | None, per_minute: int | None, amount: int, now: datetime
) -> datetime | None:
    """When the bucket is full again once the amount is taken."""
    if per_minute is None:
        return None
    start = max(full_at, now) if full_at else now
    return start + timedelta(seconds=_refill_s(per_minute, amount))


def _refill_s(per_minute: int, amount: float) -> float:
    return 60.0 * amount / (per_minute * (1.0 - BURST))


def _late_s(full_at: datetime | None, per_minute: int | None, amount: int, now: datetime) -> float:
    """Seconds until the bucket holds the amount."""
    if full_at is None or per_minute is None:
        return 0.0
    room = _refill_s(per_minute, max(amount, BURST * per_minute))
    return (full_at - now).total_seconds() - room
