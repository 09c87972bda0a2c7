"""What a loop will have used when it ends: estimates that are recorded, and their error. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from loopwright.wire import Wire


class Range(Wire):
    """An estimate of a total: as likely more as less, and with nine chances in ten not more."""

    p50: float
    p90: float


class Forecast(Wire):
    """Totals at the loop's end, estimated after an iteration."""

    made_after: int
    """Iterations that were known."""
    iterations: Range
    tokens: Range
    cost_microusd: Range
    time_s: Range


class Scored(Wire):
    """How one kind of total was forecast."""

    error: float
    """Mean of |p50 - actual| / actual over the loop's forecasts."""
    within_p90: float
    """Share of the forecasts whose p90 was not passed."""


class ForecastError(Wire):
    """How well a loop's forecasts were, once its end is known."""

    forecasts: int
    iterations: Scored
    tokens: Scored | None = None
    cost_microusd: Scored | None = None
    time_s: Scored


@dataclass(frozen=True, slots=True)
class Spent:
    """What one iteration took, and the best score after it."""

    tokens: int
    cost_microusd: int
    seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What a loop took so far, or in the end."""

    iterations: int
    tokens: int
    cost_microusd: int
    seconds: float


def forecast(known: Sequence[Spent], so_far: Totals, left: int) -> Forecast | None:
    """Totals at the end, from the newest iterations; `left` more iterations are allowed.

    The best score is taken to rise as it did on average: that gives the iterations still to come.
    Half as many again, and the dearest iteration instead of the mean one, give the p90. A score
    that does not rise is no sign of an end, so everything that is left is expected to be used.
    """
    if not known:
        return None
    more50, more90 = _still_to_come(known, so_far.iterations, left)

    def total(values: list[float], now: float) -> Range:
        return Range(
            p50=round(now + more50 * fmean(values), 3), p90=round(now + more90 * max(values), 3)
        )

    return Forecast(
        made_after=so_far.iterations,
        iterations=Range(p50=so_far.iterations + more50, p90=so_far.iterations + more90),
        tokens=total([float(item.tokens) for item in known], so_far.tokens),
        cost_microusd=total([float(item.cost_microusd) for item in known], so_far.cost_microusd),
        time_s=total([item.seconds for item in known], so_far.seconds),
    )


def _still_to_come(known: Sequence[Spent], iterations: int, left: int) -> tuple[int, int]:
    score = known[-1].score
    gained = score / iterations if iterations else 0.0
    if 1 - score >= left * gained:  # also where a score is so small that the quotient overflows
        return left, left
    wanted = max(1, ceil((1 - score) / gained - 1e-9))
    return min(wanted, left), min(ceil(wanted * 1.5), left)


def judge_forecasts(made: Sequence[Forecast], actual: Totals) -> ForecastError | None:
    """How far off the forecasts were; None where there were none."""
    if not made:
        return None
    return ForecastError(
        forecasts=len(made),
        iterations=_scored([item.iterations for item in made], actual.iterations),
        tokens=_scored([item.tokens for item in made], actual.tokens) if actual.tokens else None,
        cost_microusd=(
            _scored([item.cost_microusd for item in made], actual.cost_microusd)
            if actual.cost_microusd
            else None
        ),
        time_s=_scored([item.time_s for item in made], max(actual.seconds, 0.001)),
    )


def _scored(ranges: Sequence[Range], actual: float) -> Scored:
    errors = [abs(item.p50 - actual) / actual for item in ranges] if actual else [0.0]
    within = [actual <= item.p90 for item in ranges]
    return Scored(error=round(fmean(errors), 4), within_p90=round(fmean(within), 4))
