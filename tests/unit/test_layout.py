"""Which service of the local runtime is told what."""

from __future__ import annotations

import pytest

from loopwright_cli.runtime.layout import service_environment

GIVEN = {
    "LOOPWRIGHT_SECRETS": '{"TOKEN": "s"}',
    "LOOPWRIGHT_NOTIFY_SECRET": "whsec_cw==",
    "LOOPWRIGHT_SLOTS": "2",
}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("coordinator", set()),
        ("planner", {"OPENAI_API_KEY"}),
        ("executor", {"LOOPWRIGHT_SECRETS"}),
        ("verifier", {"OPENAI_API_KEY"}),
        ("state", {"LOOPWRIGHT_NOTIFY_SECRET"}),
    ],
)
def test_a_secret_is_told_to_the_services_that_use_it(kind: str, told: set[str]) -> None:
    found = service_environment(kind, GIVEN, {"OPENAI_API_KEY": "sk-1", "AWS_SECRET": "x"})
    assert set(found) == {"LOOPWRIGHT_SLOTS"} | told
