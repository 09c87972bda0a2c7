"""Dead letters on a real bus: listed, shown, tried again, dropped."""

from __future__ import annotations

import pytest

from loopwright import subjects
from loopwright.letters import LetterError, Letters
from loopwright.service.bus import Bus
from loopwright.service.dead import KEPT_BYTES, bury


async def buried(bus: Bus, stream: str, subject: str, body: bytes = b"{}", n: int = 1) -> int:
    headers = {"traceparent": "00-a-b-01", subjects.REPLY_TO: "_INBOX.gone"}
    await bury(bus, stream=stream, subject=subject, seq=n, body=body, headers=headers, reason="odd")
    return (await bus.js.stream_info(subjects.DEAD)).state.last_seq


async def test_the_newest_letters_come_first_whatever_was_dropped_between(bus: Bus) -> None:
    letters = Letters(bus.nc)
    assert await letters.ls() == []
    for number in range(1, 31):
        await buried(bus, subjects.GOALS, "goal.submitted.default", b"%d" % number, number)
    for number in range(5, 29):
        await letters.drop(number)
    assert [letter.seq for letter in await letters.ls(4)] == [30, 29, 4, 3]
    assert [letter.body for letter in await letters.ls(1)] == [b"30"]
    assert len(await letters.ls()) == 6


async def test_a_goal_is_sent_again_once_and_its_letter_is_gone(bus: Bus) -> None:
    letters = Letters(bus.nc)
    seq = await buried(bus, subjects.GOALS, "goal.submitted.default", b'{"name": "x"}')
    await letters.retry(seq)
    stored = await bus.last(subjects.GOALS, "goal.submitted.default")
    assert stored is not None
    assert stored.body == b'{"name": "x"}'
    assert stored.headers["traceparent"] == "00-a-b-01"
    assert subjects.REPLY_TO not in stored.headers
    with pytest.raises(LetterError, match=f"no dead letter {seq}"):
        await letters.retry(seq)


@pytest.mark.parametrize(
    ("stream", "subject", "why"),
    [
        (subjects.LOOPS, "loop.x.plan_requested", "only coordinators write"),
        (subjects.RESULTS, "result.planner.x", "attempt token"),
        (subjects.TIMERS, "timer.fired.x", "sweep"),
    ],
)
async def test_what_cannot_be_sent_again_says_why_and_stays(
    bus: Bus, stream: str, subject: str, why: str
) -> None:
    letters = Letters(bus.nc)
    seq = await buried(bus, stream, subject)
    with pytest.raises(LetterError, match=why):
        await letters.retry(seq)
    assert (await letters.show(seq)).reason == "odd"


async def test_a_letter_that_was_cut_is_not_sent_again(bus: Bus) -> None:
    letters = Letters(bus.nc)
    seq = await buried(bus, subjects.GOALS, "goal.submitted.default", b"x" * (KEPT_BYTES + 1))
    with pytest.raises(LetterError, match="bytes were kept"):
        await letters.retry(seq)


async def test_a_letter_that_is_not_there_is_a_sentence(bus: Bus) -> None:
    with pytest.raises(LetterError, match="no dead letter 7"):
        await Letters(bus.nc).show(7)
    with pytest.raises(LetterError, match="no dead letter 7"):
        await Letters(bus.nc).drop(7)
