"""Logs that released versions wrote: read, folded and audited as they were then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from loopwright.audit import Entry, audit
from loopwright.chain import decode_event, digest
from loopwright.events import EventData
from loopwright.loop import Loop, evolve
from loopwright.states import STATES

GOLDEN = Path(__file__).parents[1] / "golden"
LOGS = sorted(GOLDEN.glob("*/*.ndjson"))
KINDS = [*TypeAdapter(EventData).json_schema()["discriminator"]["mapping"]]


def entries(path: Path) -> list[Entry]:
    found = []
    for line in path.read_text().splitlines():
        stored = json.loads(line)
        body = stored["body"].encode()
        found.append(Entry(decode_event(body), stored["seq"], digest(body)))
    return found


def same(then: Any, now: Any) -> bool:
    """Whether all that was there then is there now; what came since is not looked at."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(key in now and same(value, now[key]) for key, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(same, then, now))
    return bool(then == now)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_old_log_folds_to_the_state_that_it_folded_to_then(path: Path) -> None:
    loop: Loop | None = None
    for entry in entries(path):
        loop = evolve(loop, entry.event, seq=entry.seq, body_digest=entry.body_digest)
    assert loop is not None
    then = json.loads(path.with_suffix("").with_suffix(".state.json").read_text())
    now = json.loads(loop.model_dump_json())
    assert same(then, now), {
        key: (then[key], now.get(key)) for key in then if then[key] != now.get(key)
    }


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_old_log_audits_clean(path: Path) -> None:
    assert audit(entries(path)) == []


def test_there_are_logs_of_each_kind_of_event_and_of_each_state() -> None:
    kinds, states = set[str](), set[str]()
    for path in LOGS:
        loop: Loop | None = None
        for entry in entries(path):
            loop = evolve(loop, entry.event, seq=entry.seq, body_digest=entry.body_digest)
            kinds.add(entry.event.data.kind)
            states.add(loop.state)
    assert kinds == {*KINDS}
    assert states == {*STATES}
