"""A command that is called wrongly says so: as JSON where it was asked for, with exit code 2."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from loopwright.events import LoopAdmitted
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright_cli.__main__ import app
from loopwright_coordinator.log import Log
from servers import Server


def said(done: Result) -> str:
    assert done.exit_code == 2, done.output
    return str(json.loads(done.stdout)["error"])


@pytest.mark.parametrize(
    ("words", "about"), [(("result", LOOP_ID), "--to DIR"), (("verify-log",), "--all")]
)
def test_what_is_missing_is_said_as_json(words: tuple[str, ...], about: str) -> None:
    assert about in said(CliRunner().invoke(app, [*words, "--json"]))


@pytest.mark.parametrize(
    ("option", "value"), [("--iterations", "many"), ("--tokens", "+1"), ("--disk-mb", "0")]
)
async def test_a_value_that_is_none_is_said_as_json(
    option: str,
    value: str,
    nats_process: Server,
    bus: Bus,
    objects: Objects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal, now = playbook_goal(), datetime.now(UTC)
    data = LoopAdmitted(
        tenant="default",
        goal=goal,
        goal_digest=goal.digest(),
        deadline=now + timedelta(hours=1),
    )
    await Log(bus, objects, "/coordinator/test").append(
        None, LOOP_ID, data, now=now, token=None, traceparent=None
    )
    monkeypatch.setenv("LOOPWRIGHT_NATS_URL", nats_process.url)
    words = ["amend", LOOP_ID, option, value, "--json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert said(done).startswith(f"{option}: ")
