"""A provider's limits: no minute sees more than the quota, and nobody waits for ever."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from loopwright.rate import Buckets, Rate, Wait, take
from loopwright.testing import EPOCH


@given(
    st.integers(10, 200),
    st.integers(100, 5000),
    st.lists(st.tuples(st.floats(0, 20), st.integers(1, 10)), min_size=1, max_size=80),
)
def test_no_minute_sees_more_than_the_quota(
    requests: int, tokens: int, calls: list[tuple[float, int]]
) -> None:
    rate, buckets, now = Rate(requests=requests, tokens=tokens), Buckets(model="m"), EPOCH
    taken = []
    for pause, share in calls:
        now += timedelta(seconds=pause)
        asked = share * tokens // 100  # within the bucket of a tenth
        answer = take(buckets, rate, asked, now)
        if isinstance(answer, Wait):
            now += timedelta(seconds=answer.seconds)
            answer = take(buckets, rate, asked, now)
        assert isinstance(answer, Buckets), "the wait was too short"
        buckets = answer
        taken.append((now, asked))
    for start, _ in taken:
        within = [n for at, n in taken if start <= at < start + timedelta(minutes=1)]
        assert sum(within) <= tokens
        assert len(within) <= max(requests, 2)


def test_a_call_that_is_larger_than_the_bucket_waits_until_it_is_full() -> None:
    rate, now = Rate(tokens=600), EPOCH
    first = take(Buckets(model="m"), rate, 500, now)
    assert isinstance(first, Buckets)
    late = take(first, rate, 500, now)
    assert isinstance(late, Wait)
    again = take(first, rate, 500, now + timedelta(seconds=late.seconds + 0.001))
    assert isinstance(again, Buckets)


def test_what_has_no_limit_never_waits() -> None:
    buckets = Buckets(model="m")
    for _ in range(100):
        answer = take(buckets, Rate(), 10**9, EPOCH)
        assert isinstance(answer, Buckets)
        buckets = answer
