"""What is done to a stored log behind the server's back is found by the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from durability.tampering import (
    STOPS,
    Recording,
    Stop,
    audited,
    body_at,
    cut,
    damaged,
    flip,
    publish,
    record,
)
from loopwright.chain import GENESIS, decode_event, digest
from loopwright.service.bus import Stored
from servers import nats_server

PLACES = {"first": 0, "middle": 13, "last": -1}


@pytest.fixture
async def recording(tmp_path: Path) -> Recording:
    """Three loops of nine events each."""
    return await record(tmp_path)


@pytest.mark.parametrize("stop", STOPS)
async def test_an_honest_log_has_nothing_wrong(
    recording: Recording, tmp_path: Path, stop: Stop
) -> None:
    with damaged(recording, tmp_path, stop, lambda _: None) as server:
        assert await audited(server, recording.heads) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stop", STOPS)
async def test_a_flipped_bit_in_a_stored_event_is_found(
    recording: Recording, tmp_path: Path, stop: Stop, place: str
) -> None:
    message = recording.messages[PLACES[place]]
    with damaged(
        recording, tmp_path, stop, lambda path: flip(path, body_at(path, message) + 200)
    ) as server:
        assert await audited(server, recording.heads)


@pytest.mark.parametrize("stop", STOPS)
async def test_a_tail_that_is_cut_off_is_found(
    recording: Recording, tmp_path: Path, stop: Stop
) -> None:
    message = recording.messages[-1]
    with damaged(
        recording, tmp_path, stop, lambda path: cut(path, body_at(path, message) + 50)
    ) as server:
        found = await audited(server, recording.heads)
    assert [sentence for sentence in found if "its end is cut off" in sentence]


@pytest.mark.parametrize("stop", STOPS)
async def test_a_store_that_lost_every_event_is_found(
    recording: Recording, tmp_path: Path, stop: Stop
) -> None:
    with damaged(recording, tmp_path, stop, lambda path: cut(path, 0)) as server:
        assert await audited(server, recording.heads) == ["the log is empty"] * 3


def without_one(messages: list[Stored]) -> list[Stored]:
    return messages[:13] + messages[14:]


def altered(messages: list[Stored]) -> list[Stored]:
    """One event tells another price; nothing else is touched."""
    at = next(n for n, message in enumerate(messages) if b'"cost_microusd":140' in message.body)
    body = messages[at].body.replace(b'"cost_microusd":140', b'"cost_microusd":141')
    return [*messages[:at], replace(messages[at], body=body), *messages[at + 1 :]]


def end_altered(messages: list[Stored]) -> list[Stored]:
    """The newest event of all is another; no event follows that could tell."""
    last = messages[-1]
    assert b'"worker":"w1"' in last.body
    body = last.body.replace(b'"worker":"w1"', b'"worker":"w2"')
    return [*messages[:-1], replace(last, body=body)]


def rewritten(messages: list[Stored]) -> list[Stored]:
    """Another worker is named throughout, and every chain is forged anew."""
    heads: dict[str, str] = {}
    forged = []
    for message in messages:
        event = decode_event(message.body.replace(b'"worker":"w1"', b'"worker":"w2"'))
        event = event.model_copy(update={"prev": heads.get(event.subject, GENESIS)})
        heads[event.subject] = digest(event.encode())
        forged.append(replace(message, body=event.encode()))
    return forged


FORGERIES: dict[str, tuple[Callable[[list[Stored]], list[Stored]], str]] = {
    "one event is left out": (without_one, "a gap"),
    "one event is altered": (altered, "it was altered"),
    "the newest event is altered": (end_altered, "the log was rewritten"),
    "the whole log is written anew": (rewritten, "the log was rewritten"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_copy_of_the_log_is_found(
    recording: Recording, tmp_path: Path, forgery: str
) -> None:
    forge, said = FORGERIES[forgery]
    with nats_server(tmp_path / "copy") as server:
        await publish(server, forge(recording.messages))
        found = await audited(server, recording.heads)
    assert [sentence for sentence in found if said in sentence], found


async def test_an_honest_copy_of_the_log_has_nothing_wrong(
    recording: Recording, tmp_path: Path
) -> None:
    with nats_server(tmp_path / "copy") as server:
        await publish(server, recording.messages)
        assert await audited(server, recording.heads) == []
