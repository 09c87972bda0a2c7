"""A tenant's quota: what is spent and leased never passes a cap, whatever comes twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.budget import NOTHING, Amount
from loopwright.tenant import (
    Quota,
    Refused,
    Tenant,
    Wait,
    Wanted,
    admit,
    extend,
    release,
)
from loopwright.testing import EPOCH


def tenant(**quota: Any) -> Tenant:
    return Tenant(tenant="acme", quota=Quota.model_validate(quota))


def asks(cost: int | None = 0, tokens: int | None = 0) -> Wanted:
    return Wanted(tokens, cost)


def admitted(before: Tenant, loop: str, wanted: Wanted, at_s: float = 0) -> Tenant:
    after = admit(before, loop, wanted, EPOCH + timedelta(seconds=at_s))
    assert isinstance(after, Tenant), after
    return after


def refused(before: Tenant, loop: str, wanted: Wanted, at_s: float = 0) -> Wait | Refused:
    answer = admit(before, loop, wanted, EPOCH + timedelta(seconds=at_s))
    assert not isinstance(answer, Tenant)
    return answer


def test_a_loop_is_leased_its_whole_budget_and_gives_back_what_it_did_not_spend() -> None:
    one = admitted(tenant(usd_day="1"), "a", asks(700_000))
    assert isinstance(refused(one, "b", asks(400_000)), Wait)
    back = release(one, "a", Amount(cost_microusd=100_000), EPOCH)
    assert back.leased == NOTHING
    assert back.day.spent.cost_microusd == back.total.cost_microusd == 100_000
    admitted(back, "b", asks(900_000))
    assert isinstance(refused(back, "b", asks(900_001)), Wait)


def test_taking_or_returning_a_lease_twice_is_doing_it_once() -> None:
    one = admitted(tenant(usd_total="1"), "a", asks(600_000))
    assert admitted(one, "a", asks(600_000)) is one
    back = release(one, "a", Amount(cost_microusd=5), EPOCH)
    assert release(back, "a", Amount(cost_microusd=5), EPOCH) is back


def test_a_goal_that_can_never_fit_is_refused_at_its_path_and_others_wait() -> None:
    limited = tenant(usd_day="1", tokens_total=1000)
    never = refused(limited, "a", asks(1_000_001, 10))
    assert isinstance(never, Refused)
    assert never.path == "budget.usd"
    spent = release(
        admitted(limited, "a", asks(1, 900)), "a", Amount(tokens=900, cost_microusd=1), EPOCH
    )
    over = refused(spent, "b", asks(1, 200))
    assert isinstance(over, Refused)
    assert "900 are spent" in over.why


@pytest.mark.parametrize(("quota", "path"), [("usd_month", "usd"), ("tokens_day", "tokens")])
def test_a_goal_without_a_limit_of_its_own_is_refused_under_a_quota(quota: str, path: str) -> None:
    answer = refused(tenant(**{quota: 5}), "a", Wanted(None, None))
    assert isinstance(answer, Refused)
    assert answer.path == f"budget.{path}"


def test_a_new_day_has_its_own_budget_and_the_month_goes_on() -> None:
    day = 86_400
    one = admitted(tenant(usd_day="1", usd_month="1.5"), "a", asks(1_000_000))
    spent = release(one, "a", Amount(cost_microusd=1_000_000), EPOCH)
    assert isinstance(refused(spent, "b", asks(1)), Wait)
    admitted(spent, "b", asks(500_000), at_s=day)
    assert isinstance(refused(spent, "b", asks(500_001), at_s=day), Wait)
    admitted(spent, "b", asks(1_000_000), at_s=32 * day)


def test_loops_at_once_and_goals_a_minute_are_waited_for() -> None:
    two = admitted(admitted(tenant(loops=2), "a", asks()), "b", asks())
    assert isinstance(refused(two, "c", asks()), Wait)
    admitted(release(two, "a", NOTHING, EPOCH), "c", asks())
    quick = admitted(admitted(tenant(per_minute=2), "a", asks(), 0), "b", asks(), 10)
    late = refused(quick, "c", asks(), 20)
    assert isinstance(late, Wait)
    assert late.after_s == pytest.approx(40)
    admitted(quick, "c", asks(), 60)


def test_an_amendment_leases_the_difference_or_is_refused() -> None:
    one = admitted(tenant(usd_day="1"), "a", asks(400_000))
    more = extend(one, "a", asks(1_000_000), EPOCH)
    assert isinstance(more, Tenant)
    assert more.leased.cost_microusd == 1_000_000
    assert isinstance(extend(one, "a", asks(1_000_001), EPOCH), Refused)
    lower = extend(more, "a", asks(5), EPOCH)
    assert isinstance(lower, Tenant)
    assert lower.leased.cost_microusd == 1_000_000  # it may have spent it already
    assert extend(one, "unknown", asks(5), EPOCH) is one


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "extend", "release"]),
            st.integers(0, 6),
            st.integers(0, 600),
            st.integers(0, 50_000),
        ),
        max_size=60,
    )
)
def test_spent_and_leased_never_pass_a_cap(steps: list[tuple[str, int, int, int]]) -> None:
    held, now = tenant(tokens_day=1000, tokens_month=2500, tokens_total=4000, loops=4), EPOCH
    for what, number, tokens, wait in steps:
        now += timedelta(seconds=wait)
        loop = f"loop-{number}"
        if what == "release":
            lease = held.leases.get(loop, NOTHING)
            held = release(held, loop, Amount(tokens=min(tokens, lease.tokens)), now)
        else:
            answer = (admit if what == "admit" else extend)(held, loop, Wanted(tokens, 0), now)
            held = answer if isinstance(answer, Tenant) else held
        assert held.total.tokens + held.leased.tokens <= 4000
        assert len(held.leases) <= 4
        assert held.day.spent.tokens <= held.month.spent.tokens <= held.total.tokens
        if held.day.name == now.strftime("%Y-%m-%d") and what == "admit":
            assert held.day.spent.tokens <= 1000 + 600 * 4  # leases of the day before come home
