"""What one event writes: tables on the pure part of the state service."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from loopwright.chain import digest
from loopwright.errors import UnreadableError
from loopwright.ids import new_loop_id
from loopwright.loop import Loop
from loopwright.testing import LOOP_ID, MemoryLog, model_goal
from loopwright_state.core import (
    ALL,
    OPEN,
    QUARANTINED,
    Known,
    Writes,
    fold_key,
    iterations_key,
    project,
    quarantine,
    spend_key,
    state_key,
    tenant_key,
    view_key,
)
from loopwright_state.projector import Batch
from loopwright_state.store import CLEARING, Position, decode_position
from table import Table


def exhausted() -> MemoryLog:
    """A loop that is never verified, with five iterations."""
    table = Table(model_goal())
    table.begin()
    while table.loop.ended is None:
        table.plan(), table.execute(), table.verdict("a")
    return table.log


def projected(log: MemoryLog) -> tuple[Loop | None, Writes]:
    loop: Loop | None = None
    writes = Writes()
    for event, body, seq in zip(log.events, log.bodies, log.seqs, strict=True):
        loop, more = project(loop, log.loop_id, event, seq, digest(body))
        writes.add(more)
    return loop, writes


def indexes(writes: Writes) -> set[str]:
    return {key for (key, _), score in writes.members.items() if score is not None}


def test_a_loop_is_in_the_indexes_of_its_state_and_tenant() -> None:
    log = exhausted()
    _, first = project(None, LOOP_ID, log.events[0], 1, digest(log.bodies[0]))
    assert indexes(first) == {
        ALL,
        OPEN,
        tenant_key("default"),
        state_key("admitted"),
        state_key("admitted", "default"),
    }
    admitted = log.events[0].time.timestamp()
    assert set(first.members.values()) == {admitted}


def test_an_ended_loop_is_open_no_more() -> None:
    _, writes = projected(exhausted())
    assert indexes(writes) == {
        ALL,
        tenant_key("default"),
        state_key("ended"),
        state_key("ended", "default"),
    }
    assert writes.members[OPEN, LOOP_ID] is None


def test_a_loop_is_in_one_state_at_every_event() -> None:
    log = exhausted()
    loop: Loop | None = None
    writes = Writes()
    for event, body, seq in zip(log.events, log.bodies, log.seqs, strict=True):
        loop, more = project(loop, LOOP_ID, event, seq, digest(body))
        writes.add(more)
        states = {key for key in indexes(writes) if ":state:" in key}
        assert states == {state_key(loop.state), state_key(loop.state, "default")}


def test_every_iteration_is_kept_and_every_charge() -> None:
    log = exhausted()
    loop, writes = projected(log)
    assert loop is not None
    iterations = [name for key, name in writes.fields if key == iterations_key(LOOP_ID)]
    assert iterations == ["1", "2", "3", "4", "5"]
    series = {int(n): json.loads(v) for (k, n), v in writes.fields.items() if k.startswith("lw:sp")}
    tokens = [series[n]["actions"] for n in sorted(series)]
    assert all(a <= b for a, b in pairwise(tokens))
    assert series[max(series)] == json.loads(loop.spent.model_dump_json())
    assert {key for key, _ in writes.fields} == {iterations_key(LOOP_ID), spend_key(LOOP_ID)}


def test_a_stored_fold_goes_on_like_one_in_memory() -> None:
    log = exhausted()
    kept: Loop | None = None
    for event, body, seq in zip(log.events, log.bodies, log.seqs, strict=True):
        memory, writes = project(kept, LOOP_ID, event, seq, digest(body))
        stored = writes.values[fold_key(LOOP_ID)]
        kept = Loop.model_validate_json(stored)
        assert kept == memory
        assert kept.model_dump_json(exclude_none=True, by_alias=True) == stored


def test_how_events_are_cut_into_batches_makes_no_difference() -> None:
    log = exhausted()
    whole = Batch({LOOP_ID: Known()})
    for body, seq in zip(log.bodies, log.seqs, strict=True):
        whole.take(LOOP_ID, seq, body)
    known = Known()
    parts = Writes()
    for body, seq in zip(log.bodies, log.seqs, strict=True):
        one = Batch({LOOP_ID: known})
        one.take(LOOP_ID, seq, body)
        known = one.known[LOOP_ID]
        parts.add(one.writes)
    assert parts == whole.writes


def changed(log: MemoryLog, position: int, **changes: object) -> bytes:
    return json.dumps(json.loads(log.bodies[position]) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"n": 7}, "does not follow"),
        ({"prev": "f" * 64}, "does not follow"),
        ({"minreader": 99}, "needs reader 99"),
        ({"time": "2026-01-01T00:00:09"}, "without a zone"),
        ({"subject": new_loop_id()}, "is of loop"),
        ({"data": {"kind": "no_such"}}, "no event"),
    ],
)
def test_an_event_that_cannot_follow_stops_its_loop_with_a_reason(
    changes: dict[str, object], why: str
) -> None:
    log = exhausted()
    batch = Batch({LOOP_ID: Known()})
    batch.take(LOOP_ID, 1, log.bodies[0])
    before = batch.known[LOOP_ID].loop
    batch.take(LOOP_ID, 2, changed(log, 1, **changes))
    assert why in batch.broken[LOOP_ID]
    assert batch.known[LOOP_ID] == Known(before, batch.broken[LOOP_ID])
    batch.take(LOOP_ID, 3, log.bodies[1])  # the true one comes too late: the reason stays
    assert batch.known[LOOP_ID] == Known(before, batch.broken[LOOP_ID])
    assert json.loads(batch.writes.fields[QUARANTINED, LOOP_ID])["seq"] == 2


def test_a_fold_that_fails_in_an_unforeseen_way_stops_its_loop_only() -> None:
    log = exhausted()
    other = new_loop_id()
    batch = Batch({LOOP_ID: Known(), other: Known()})
    batch.take(other, 1, log.bodies[0])  # stored for another loop than it is of
    batch.take(LOOP_ID, 2, UnreadableError("the payload is gone"))
    assert set(batch.broken) == {other, LOOP_ID}
    assert batch.writes.values == {}
    assert batch.writes.members == {}


def test_a_quarantined_loop_shows_its_last_view_and_why() -> None:
    log = exhausted()
    loop, _ = project(None, LOOP_ID, log.events[0], 1, digest(log.bodies[0]))
    writes = quarantine(loop, LOOP_ID, 2, "a sentence")
    view = json.loads(writes.values[view_key(LOOP_ID)])
    assert (view["state"], view["quarantined"]) == ("admitted", "a sentence")
    assert writes.members == {
        (state_key("admitted"), LOOP_ID): None,
        (state_key("admitted", "default"), LOOP_ID): None,
        (state_key("quarantined"), LOOP_ID): loop.admitted_at.timestamp(),
        (state_key("quarantined", "default"), LOOP_ID): loop.admitted_at.timestamp(),
    }
    assert fold_key(LOOP_ID) not in writes.values


def test_an_index_of_a_state_cannot_be_taken_for_one_of_a_tenant() -> None:
    assert tenant_key("a:state:planning") != state_key("planning", "a")
    assert state_key("planning", "b:tenant:a") != state_key("planning", "a")


HERE = Position("log", 5)


@pytest.mark.parametrize(
    ("other", "leads"),
    [
        (HERE, True),
        (HERE.at(9), True),
        (HERE.at(4), False),
        (HERE.at(CLEARING), False),
        (Position("another", 9), False),
        (Position("log", 9, layout=HERE.layout + 1), False),
        (Position(), False),
    ],
)
def test_a_position_leads_only_forward_in_the_same_log(other: Position, leads: bool) -> None:
    assert HERE.leads_to(other) is leads


@pytest.mark.parametrize("raw", [b"{", b"[]", b"{}", b'{"stream": "log", "seq": 5}', b"7"])
def test_a_position_that_cannot_be_read_is_of_no_log(raw: bytes) -> None:
    assert not HERE.at(0).leads_to(decode_position(raw))
    assert decode_position(raw) != Position()


def test_a_position_comes_back_as_it_was_stored() -> None:
    assert decode_position(HERE.encode().encode()) == HERE
