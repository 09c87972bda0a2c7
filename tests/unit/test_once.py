"""Actions that must not be done twice, as an attempt after a lost one finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome
from loopwright.testing import playbook_goal
from loopwright_executor.once import Once
from loopwright_executor.tools.call import Call
from tooling import MemoryJournal, call_of

HOLD = playbook_goal(unknown_outcome="hold")


class Killed(BaseException):
    """The worker dies here."""


class Charge:
    """Something that must not happen twice; it counts, and may die in the middle."""

    def __init__(self) -> None:
        self.count = 0
        self.dies = False

    async def __call__(self) -> ActionOutcome:
        self.count += 1
        if self.dies:
            raise Killed
        return ActionOutcome(tool="http.request", status="succeeded", stdout=f"no. {self.count}")


def post(attempt: int, *, index: int = 0, body: str = "1", hold: bool = False) -> Call:
    goal = HOLD if hold else playbook_goal()
    args = {"method": "POST", "url": "http://x.example:1/", "body": body}
    return call_of(Path("/"), "http.request", goal, index=index, attempt=attempt, **args)


async def test_what_is_done_is_told_again_and_not_done_again() -> None:
    once, charge = Once(MemoryJournal()), Charge()
    first = await once.run(post(1), charge)
    assert await once.run(post(2), charge) == first
    assert charge.count == 1


async def test_an_unknown_outcome_is_told_and_the_action_not_done_again() -> None:
    once, charge = Once(MemoryJournal()), Charge()
    charge.dies = True
    with pytest.raises(Killed):
        await once.run(post(1), charge)
    for attempt in (2, 3):
        outcome = await once.run(post(attempt), charge)
        assert (outcome.status, outcome.failure) == ("failed", "outcome_unknown")
    assert charge.count == 1


async def test_a_person_is_asked_once_where_the_goal_says_so() -> None:
    once, charge = Once(MemoryJournal()), Charge()
    charge.dies = True
    with pytest.raises(Killed):
        await once.run(post(1, hold=True), charge)
    with pytest.raises(StepError, match="nobody knows") as raised:
        await once.run(post(2, hold=True), charge)
    assert raised.value.info.kind == "outcome_unknown"
    assert (await once.run(post(3, hold=True), charge)).failure == "outcome_unknown"
    assert charge.count == 1


async def test_another_action_in_the_same_place_is_another_action() -> None:
    once, charge = Once(MemoryJournal()), Charge()
    await once.run(post(1), charge)
    await once.run(post(2, body="2"), charge)
    await once.run(post(2, index=1), charge)
    assert charge.count == 3


async def test_what_may_be_done_twice_is_not_journalled() -> None:
    journal, charge = MemoryJournal(), Charge()
    put = call_of(Path("/"), "http.request", method="PUT", url="http://x.example:1/")
    assert put.effect == "external_idempotent"
    await Once(journal).run(put, charge)
    await Once(journal).run(put, charge)
    assert (charge.count, journal.entries) == (2, {})


def test_the_idempotency_key_is_of_the_action_and_not_of_the_attempt() -> None:
    keys = [post(1), post(2), post(1, index=1), post(1, body="2")]
    first, again, *others = [call.idempotency_key for call in keys]
    assert first == again
    assert len({first, *others}) == 3
