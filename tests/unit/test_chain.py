"""A flipped bit, a gap, a cut or a second end shows to anyone who folds the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.chain import decode_event, digest
from loopwright.errors import UnreadableError
from loopwright.loop import Loop, evolve
from loopwright.testing import MemoryLog
from table import Table


def ended_log() -> MemoryLog:
    table = Table()
    table.begin(), table.plan(), table.execute(), table.verdict("a")
    table.plan(), table.execute(), table.verdict("a", "b")
    return table.log


LOG = ended_log()


def fold(bodies: list[bytes]) -> Loop | None:
    loop: Loop | None = None
    for seq, body in enumerate(bodies, start=1):
        loop = evolve(loop, decode_event(body), seq=seq, body_digest=digest(body))
    return loop


def test_the_whole_log_folds() -> None:
    loop = fold(LOG.bodies)
    assert loop is not None
    assert (loop.ended, loop.n) == ("achieved", len(LOG.bodies) - 1)


@given(st.data())
def test_a_flipped_bit_shows(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(LOG.bodies) - 2))
    body = bytearray(LOG.bodies[index])
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnreadableError):
        fold([*LOG.bodies[:index], bytes(body), *LOG.bodies[index + 1 :]])


@given(st.integers(0, len(LOG.bodies) - 2))
def test_a_missing_event_shows(index: int) -> None:
    with pytest.raises(UnreadableError):
        fold(LOG.bodies[:index] + LOG.bodies[index + 1 :])


@given(st.permutations(range(len(LOG.bodies))))
def test_another_order_shows(order: list[int]) -> None:
    if order == sorted(order):
        return
    with pytest.raises(UnreadableError):
        fold([LOG.bodies[index] for index in order])


def test_nothing_may_follow_the_end() -> None:
    with pytest.raises(UnreadableError):
        fold([*LOG.bodies, LOG.bodies[-1]])


def test_a_newer_event_is_left_to_a_newer_reader() -> None:
    body = LOG.bodies[0].replace(b'"minreader":1', b'"minreader":9')
    with pytest.raises(UnreadableError, match="needs reader 9"):
        decode_event(body)


def test_a_field_of_a_later_version_is_ignored() -> None:
    body = LOG.bodies[0].replace(b'"minreader":1', b'"minreader":1,"later":{"x":1}')
    assert decode_event(body) == decode_event(LOG.bodies[0])
