"""Forecasts: made from what was spent, bounded by what is left, judged by what came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.budget import Usage
from loopwright.forecast import Forecast, Range, Spent, Totals, forecast, judge_forecasts
from loopwright.testing import model_goal
from table import PLAN, R1, R2, Table

FLAT = Spent(tokens=100, cost_microusd=10, seconds=2.0, score=0.25)


def test_a_steady_loop_is_forecast_exactly() -> None:
    made = forecast([FLAT], Totals(1, 100, 10, 2.0), left=9)
    assert made is not None
    assert (made.iterations.p50, made.tokens.p50, made.time_s.p50) == (4, 400, 8)


def test_without_progress_everything_that_is_left_is_expected() -> None:
    stuck = Spent(100, 10, 2.0, 0.0)
    made = forecast([stuck], Totals(1, 100, 10, 2.0), left=9)
    assert made is not None
    assert made.iterations == Range(p50=10, p90=10)


def test_the_smallest_score_there_is_is_no_sign_of_an_end() -> None:
    tiny = Spent(tokens=100, cost_microusd=10, seconds=2.0, score=5e-324)
    made = forecast([tiny] * 3, Totals(3, 300, 30, 6.0), left=9)
    assert made is not None
    assert made.iterations == Range(p50=12, p90=12)


def test_nothing_is_forecast_from_nothing() -> None:
    assert forecast([], Totals(0, 0, 0, 0.0), left=9) is None
    assert judge_forecasts([], Totals(3, 1, 1, 1.0)) is None


@given(
    st.lists(
        st.builds(
            Spent,
            tokens=st.integers(0, 10_000),
            cost_microusd=st.integers(0, 10_000),
            seconds=st.floats(0, 100),
            score=st.floats(0, 1),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 1000),
)
def test_a_p90_is_never_below_its_p50_nor_beyond_what_is_left(
    known: list[Spent], left: int
) -> None:
    spent = sum(item.tokens for item in known)
    made = forecast(known, Totals(len(known), spent, 0, 0.0), left)
    assert made is not None
    assert made.iterations.p50 <= made.iterations.p90 <= len(known) + left
    assert spent <= made.tokens.p50 <= made.tokens.p90 + 0.01


def test_the_error_is_the_mean_distance_from_what_came() -> None:
    def made(tokens: float) -> Forecast:
        one = Range(p50=4, p90=4)
        tokens_ = Range(p50=tokens, p90=tokens)
        return Forecast(made_after=1, iterations=one, tokens=tokens_, cost_microusd=one, time_s=one)

    judged = judge_forecasts([made(50), made(150)], Totals(4, 100, 0, 4.0))
    assert judged is not None
    assert judged.tokens is not None
    assert (judged.tokens.error, judged.tokens.within_p90) == (0.5, 0.5)
    assert judged.iterations.error == 0
    assert judged.cost_microusd is None


def test_a_loop_records_its_forecasts_and_their_error() -> None:
    table = Table(model_goal())
    table.begin()
    for passed, revision in (((), R1), (("a",), R2), (("a", "b"), R1)):
        table.plan(PLAN, Usage(input_tokens=100, output_tokens=10, cost_microusd=120))
        table.execute(revision)
        event = table.verdict(*passed, revision=revision)
    assert event.outcome == "achieved"
    assert event.forecast_error.forecasts == 2
    assert event.forecast_error.tokens.error == pytest.approx(
        sum(abs(f.tokens.p50 - 330) / 330 for f in table.loop.forecasts) / 2, abs=1e-3
    )
