"""What a goal will take, before it runs: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.estimate import Past, estimate, from_history, like, shared_words
from loopwright.testing import MemoryLog, model_goal, playbook_goal
from loopwright.views import LoopView, view
from loopwright_cli.prices import list_price
from planning import PRICE
from proving import figures


def ended(goal: Any, **changes: Any) -> LoopView:
    """A loop of the goal that has come to its end."""
    seen = view(MemoryLog().admit(goal))
    return seen.model_copy(update={"outcome": "achieved", "iteration": 4, **changes})


def test_without_history_the_shape_of_the_goal_is_what_counts() -> None:
    rules = estimate(playbook_goal())
    assert (rules.source, rules.tokens.p90) == ("shape", 0)
    assert rules.cost_microusd is not None
    assert rules.cost_microusd.p90 == 0
    asked = estimate(model_goal())
    assert 0 < asked.tokens.p50 <= asked.tokens.p90 <= 10_000
    assert asked.cost_microusd is not None
    assert asked.cost_microusd.p50 > 0


def test_a_model_of_unknown_price_has_no_dollars() -> None:
    planner = {"backend": "openai", "model": "nobody-knows"}
    goal = model_goal(planner=planner, budget={"tokens": 10_000})
    assert estimate(goal).cost_microusd is None
    assert estimate(goal, PRICE).cost_microusd is not None


def test_list_prices_are_known_for_known_models_only() -> None:
    price = list_price("gpt-4o-mini")
    assert price is not None
    assert 0 < price.input_usd_per_million < price.output_usd_per_million
    assert list_price("nobody-knows") is None


def test_three_like_loops_outweigh_the_shape() -> None:
    past = [Past(2, 1000, 10, 5.0), Past(3, 2000, 20, 6.0), Past(4, 3000, 30, 7.0)]
    assert estimate(model_goal(), None, past[:2]).source == "shape"
    found = estimate(model_goal(), None, past)
    assert (found.source, found.like) == ("history", 3)
    assert (found.iterations.p50, found.tokens.p50) == (3, 2000)
    assert found.tokens.p90 > 3000


def test_like_loops_ended_by_themselves_with_a_like_goal() -> None:
    goal = playbook_goal()
    other = playbook_goal(name="other", objective="Translate a poem into Latin.")
    alike = playbook_goal(name="other", objective="Both files exist and are empty.")
    assert len(like(goal, [ended(goal), ended(alike)])) == 2
    assert like(goal, [ended(other), ended(goal, outcome="cancelled"), ended(goal, outcome=None)]
                ) == []  # fmt: skip
    assert like(model_goal(), [ended(goal)]) == []


def test_words_that_are_shared_are_counted_once() -> None:
    assert shared_words("a b b", "B a") == 1
    assert shared_words("a", "b") == 0
    assert shared_words("", "") == 0


PASTS = st.builds(
    Past,
    iterations=st.integers(1, 100),
    tokens=st.integers(0, 10**6),
    cost_microusd=st.integers(0, 10**7),
    seconds=st.floats(0, 10**5),
)


@given(st.lists(PASTS, max_size=30))
def test_no_estimate_is_above_the_budget_and_p90_is_not_below_p50(past: list[Past]) -> None:
    goal = model_goal()
    found = estimate(goal, None, past)
    caps = (5, 10_000, goal.budget.cost_microusd, goal.budget.time)
    ranges = (found.iterations, found.tokens, found.cost_microusd, found.time_s)
    for cap, item in zip(caps, ranges, strict=True):
        assert item is not None
        assert cap is not None
        assert 0 <= item.p50 <= item.p90 <= cap


@pytest.mark.parametrize("count", [1, 9, 10, 50])
def test_nine_of_ten_like_loops_took_no_more_than_the_ninth_decile(count: int) -> None:
    found = from_history([Past(n, n, n, n) for n in range(1, count + 1)])
    within = sum(n <= found.tokens.p90 for n in range(1, count + 1))
    assert within >= 0.9 * count


def test_estimates_of_simulated_loops_are_calibrated() -> None:
    found = figures("estimating", "--families", "200")
    assert 0.85 <= found["within_p90"] <= 0.99
    assert 0.4 <= found["within_p50"] <= 0.65
