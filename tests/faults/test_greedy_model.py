"""A model that never finishes and always asks for the most is bounded exactly by the budget."""

from __future__ import annotations

import greedy


def test_two_hundred_greedy_loops_end_exactly_at_their_budgets() -> None:
    report = greedy.run(seed=13, loops=200)
    assert report.violations == []
    assert sum(report.reasons.values()) == 200
    assert all(report.reasons[why] >= 5 for why in ("iterations", "tokens", "cost", "actions"))
