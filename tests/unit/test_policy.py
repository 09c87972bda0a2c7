"""Backoff: bounded, derived, and what a dependency asks for comes first."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import ErrorInfo, ErrorKind
from loopwright_coordinator.policy import MAX_RETRY_AFTER_S, POLICY, Retry, backoff_s

ERROR = ErrorInfo(kind="overloaded", message="m")
RETRY = Retry(base_s=2.0, cap_s=120.0)


def test_every_error_kind_has_a_policy() -> None:
    assert set(POLICY) == set(get_args(ErrorKind))


@given(st.integers(0, 1000), st.text())
def test_a_wait_is_never_more_than_its_cap(failures: int, key: str) -> None:
    wait = backoff_s(RETRY, ERROR, failures, key)
    assert 0 <= wait <= min(120.0, 2.0 * 2.0 ** min(failures, 20))
    assert wait == backoff_s(RETRY, ERROR, failures, key)


def test_waits_are_spread_over_the_whole_span() -> None:
    waits = [backoff_s(RETRY, ERROR, 4, f"loop-{index}") for index in range(400)]
    assert min(waits) < 3
    assert max(waits) > 29


@given(st.floats(allow_nan=False))
def test_retry_after_is_honoured_within_reason(seconds: float) -> None:
    error = ERROR.model_copy(update={"retry_after_s": seconds})
    assert backoff_s(RETRY, error, 1, "k") == min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
