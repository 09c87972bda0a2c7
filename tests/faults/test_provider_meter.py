"""What a provider really meters stays within the caps, and an outage sees nothing but probes."""

from __future__ import annotations

import pytest

from proving import figures


@pytest.mark.timeout(400)
def test_the_providers_own_meter_never_shows_more_than_the_caps() -> None:
    words = ("meter", "--loops", "66", "--kills", "5", "--bus-kills", "1")
    found = figures("metering", "--seed", "1", *words, seconds=380)
    assert found["violations"] == 0
    assert found["workers"] >= 64
    assert found["metered_tokens"] <= found["charged_tokens"] <= found["cap_tokens"]
    assert {"cut", "error", "no_usage"} <= set(found["ends"])
    assert sum(found["kills"].values()) >= 4


@pytest.mark.timeout(400)
def test_a_dead_provider_sees_only_probes_of_three_planners_and_one_at_a_time() -> None:
    words = ("outage", "--loops", "24", "--seconds", "26")
    found = figures("metering", "--seed", "1", *words, seconds=380)
    assert found["violations"] == 0
    assert found["planners"] == 3
    assert 1 <= found["while_open"] <= found["probes"]
    assert found["most_at_once"] == 1
