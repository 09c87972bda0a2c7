"""An append that was acknowledged survives `kill -9` of the bus, at its place, once."""

from __future__ import annotations

from proving import figures


def test_acknowledged_appends_survive_five_kills_of_the_bus() -> None:
    found = figures("durability", "--seed", "9", "kills", "--kills", "5", "--acks", "10000")
    assert found["violations"] == 0
    assert found["kills"] == 5
    assert found["acknowledged"] >= 10_000
