"""No secret leaves a process in a log line, however deep it stands."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from loopwright.service.logs import REDACTED, Redactor, configure, secrets_of
from loopwright.service.settings import ServiceSettings

CANARY = "canary-7f3a91"

nested = st.recursive(
    st.text() | st.integers() | st.none() | st.just(CANARY) | st.just(f"x{CANARY}y"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(nested)
def test_a_secret_is_found_however_deep_it_stands(value: Any) -> None:
    assert CANARY not in repr(Redactor([CANARY]).value(value))


def test_a_secret_as_a_key_is_redacted_too() -> None:
    assert Redactor([CANARY]).value({CANARY: 1}) == {REDACTED: 1}


def test_words_are_no_secrets() -> None:
    assert Redactor(["the"]).text("the loop") == "the loop"


def test_every_secret_of_the_settings_is_known() -> None:
    settings = ServiceSettings(nats_password=SecretStr(CANARY))
    assert secrets_of(settings) == [CANARY]


@pytest.fixture
def _restore_logging() -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_restore_logging")
def test_a_log_line_is_json_with_its_context_and_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("executor", ServiceSettings(nats_password=SecretStr(CANARY), replica="r1"))
    with structlog.contextvars.bound_contextvars(loop="L", iteration=2):
        structlog.get_logger().info("called", url=f"http://h/?key={CANARY}")
    logging.getLogger("some.library").warning("failed with %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        structlog.get_logger().exception("broke")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0]["service"] == "executor"
    assert (lines[0]["loop"], lines[0]["iteration"]) == ("L", 2)
    assert len(lines) == 3
    assert CANARY not in json.dumps(lines)
