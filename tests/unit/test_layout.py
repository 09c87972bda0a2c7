"""Which service of the local runtime is told what."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from loopwright_cli.runtime.keys import notify_secret
from loopwright_cli.runtime.layout import plan, service_environment
from loopwright_cli.runtime.places import Place
from loopwright_state.webhooks import Deliveries

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


def test_webhooks_are_signed_by_default_with_a_secret_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOOPWRIGHT_NOTIFY_SECRET", raising=False)
    place = Place(tmp_path)
    place.make()
    told = {spec.name: spec.env.get("LOOPWRIGHT_NOTIFY_SECRET") for spec in plan(place, 1).services}
    secret = told.pop("state")
    assert secret == notify_secret(place)
    assert set(told.values()) == {None}
    assert stat.S_IMODE(place.notify_secret.stat().st_mode) == 0o600
    assert Webhook(secret).verify(
        '{"kind":"end"}', Deliveries(secret=secret).headers("id", '{"kind":"end"}')
    )
    monkeypatch.setenv("LOOPWRIGHT_NOTIFY_SECRET", "whsec_b3du")
    again = {spec.name: spec.env for spec in plan(place, 1).services}
    assert again["state"]["LOOPWRIGHT_NOTIFY_SECRET"] == "whsec_b3du"
    assert notify_secret(place) == secret
