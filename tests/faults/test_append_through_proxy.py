"""Appends through a proxy that cuts, delays, swallows answers and goes silent: exactly once."""

from __future__ import annotations

from proving import figures


def test_an_append_is_stored_once_or_called_a_conflict_and_never_both() -> None:
    found = figures("durability", "--seed", "11", "proxy", "--appends", "1000")
    assert found["violations"] == 0
    assert found["unknown"] == 0
    assert found["acknowledged"] >= 1_000
    assert found["conflicts"] >= 100
    assert all(found["faults"][name] >= 10 for name in ("cut", "delay", "deafen", "blackhole"))
