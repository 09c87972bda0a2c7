"""Messages that nobody should have sent: poison, which becomes a dead letter, and lies.

Poison cannot be read, or names what is not there. A lie is a perfectly good message that is not
true: a forged result, a timer that nobody armed. Both must leave every loop as it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from chaos.fleet import Fleet
from chaos.script import chance
from loopwright import subjects
from loopwright.chain import ResultEvent, decode_event, event_type, schema_uri
from loopwright.errors import BusUnavailableError
from loopwright.events import VerificationRequested
from loopwright.ids import new_loop_id
from loopwright.letters import Letter
from loopwright.plan import CheckResult, Verdict
from loopwright.results import Result, ResultBody, VerdictReached, WorkerLost
from loopwright.service.bus import Bus
from loopwright.service.dead import KEPT_BYTES
from loopwright.subjects import Role
from loopwright.testing import model_goal

#: The name under which forged results are reported; no log may hold it.
FORGER = "forger"
#: More than a service may publish, less than the streams refuse.
OVERSIZED = 400 * 1024

Mark = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that must become exactly one dead letter."""

    stream: str
    subject: str
    body: bytes

    @property
    def mark(self) -> Mark:
        """By what its letter is known again."""
        return self.stream, self.subject, len(self.body), _digest(self.body[:KEPT_BYTES])


def mark_of(letter: Letter) -> Mark:
    """The same of a letter."""
    return letter.stream, letter.subject, letter.body_bytes, _digest(letter.body)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def poison(seed: int, number: int, loop: str) -> Poison:
    """The poison of this number, beside an admitted loop; each kind comes in turn."""
    return _KINDS[number % len(_KINDS)](chance(seed, "poison", number), loop, number)


def _garbage(dice: Random, loop: str, number: int) -> Poison:
    subject = subjects.result(dice.choice(subjects.ROLES), loop)
    return Poison(subjects.RESULTS, subject, b"\xff\x00{" + str(number).encode())


def _oversized_result(dice: Random, loop: str, number: int) -> Poison:
    body = dice.randbytes(OVERSIZED)
    return Poison(subjects.RESULTS, subjects.result("executor", loop), body)


def _unknown_kind(dice: Random, loop: str, number: int) -> Poison:
    event = json.loads(_lost(loop, "planner", number).encode())
    event["data"]["body"]["kind"] = "loop_is_done_believe_me"
    return Poison(subjects.RESULTS, subjects.result("planner", loop), json.dumps(event).encode())


def _unknown_loop(dice: Random, loop: str, number: int) -> Poison:
    nowhere = new_loop_id()
    body = _lost(nowhere, "verifier", number).encode()
    return Poison(subjects.RESULTS, subjects.result("verifier", nowhere), body)


def _other_subject(dice: Random, loop: str, number: int) -> Poison:
    body = _lost(loop, "verifier", number).encode()
    return Poison(subjects.RESULTS, subjects.result("planner", loop), body)


def _no_goal(dice: Random, loop: str, number: int) -> Poison:
    return Poison(subjects.GOALS, subjects.goal_submitted("default"), b"goal %d, please" % number)


def _invalid_goal(dice: Random, loop: str, number: int) -> Poison:
    goal = json.loads(model_goal(name=f"poison {number}").model_dump_json(exclude_none=True))
    goal["budgett"] = {"usd": 1000}
    return Poison(subjects.GOALS, subjects.goal_submitted("default"), json.dumps(goal).encode())


def _taken_id(dice: Random, loop: str, number: int) -> Poison:
    goal = model_goal(name=f"poison {number}", id=loop)
    body = goal.model_dump_json(exclude_none=True, by_alias=True).encode()
    return Poison(subjects.GOALS, subjects.goal_submitted("default"), body)


def _oversized_goal(dice: Random, loop: str, number: int) -> Poison:
    body = json.dumps({"name": f"poison {number}", "objective": "x" * OVERSIZED}).encode()
    return Poison(subjects.GOALS, subjects.goal_submitted("default"), body)


def _no_control(dice: Random, loop: str, number: int) -> Poison:
    return Poison(subjects.CONTROL, subjects.control(loop), b'{"kind": "cancel"' + b" " * number)


def _unknown_control(dice: Random, loop: str, number: int) -> Poison:
    body = json.dumps({"kind": "achieve", "id": f"poison-{number:04}"}).encode()
    return Poison(subjects.CONTROL, subjects.control(loop), body)


def _no_loop_id(dice: Random, loop: str, number: int) -> Poison:
    body = json.dumps({"kind": "cancel", "id": f"poison-{number:04}"}).encode()
    return Poison(subjects.CONTROL, subjects.control("all-of-them"), body)


def _lost_timer(dice: Random, loop: str, number: int) -> Poison:
    return Poison(subjects.TIMERS, subjects.timer_fired(new_loop_id()), b"poison %d" % number)


_KINDS: tuple[Callable[[Random, str, int], Poison], ...] = (
    _garbage,
    _no_goal,
    _no_control,
    _lost_timer,
    _oversized_result,
    _invalid_goal,
    _unknown_kind,
    _unknown_control,
    _unknown_loop,
    _taken_id,
    _other_subject,
    _no_loop_id,
    _oversized_goal,
)


def _lost(loop: str, role: Role, number: int) -> ResultEvent:
    """A well-formed result for a step that was never granted."""
    return _result(loop, role, number, 1, 1, WorkerLost())


def _result(
    loop: str, role: Role, iteration: int, attempt: int, grant_seq: int, body: ResultBody
) -> ResultEvent:
    now = datetime.now(UTC)
    return ResultEvent(
        id=f"{FORGER}-{new_loop_id()}",
        source=f"/{role}/{FORGER}",
        type=event_type(body.kind),
        subject=loop,
        time=now,
        dataschema=schema_uri("result"),
        data=Result(
            loop=loop,
            role=role,
            iteration=iteration,
            attempt=attempt,
            grant_seq=grant_seq,
            worker=FORGER,
            finished_at=now,
            body=body,
        ),
    )


@dataclass(frozen=True, slots=True)
class Poisoner:
    """Publishes them while the bus stays, so that each is stored once."""

    fleet: Fleet
    nc: Nats

    async def inject(self, poison: Poison) -> None:
        """Store a poison exactly once."""
        name = _digest(repr(poison.mark).encode())
        async with self.fleet.steady:
            await self._publish(poison.stream, poison.subject, poison.body, name)

    async def wake(self, loop: str) -> None:
        """Fire a timer that nobody armed."""
        async with self.fleet.steady:
            await self._publish(subjects.TIMERS, subjects.timer_fired(loop), b"", new_loop_id())

    async def lie(self, loop: str) -> bool:
        """Report that a running verification has passed, with a token that is made up.

        Whether there was a verification to lie about.
        """
        async with self.fleet.steady:
            try:
                newest = await Bus(self.nc).last(subjects.LOOPS, subjects.loop_events(loop))
            except BusUnavailableError:
                return False
            data = decode_event(newest.body).data if newest else None
            if newest is None or not isinstance(data, VerificationRequested):
                return False
            grant = data.grant
            done = _result(
                loop, "verifier", grant.iteration, grant.attempt, newest.seq, _passed(data)
            )
            subject = subjects.result("verifier", loop)
            headers = {subjects.ATTEMPT_TOKEN: "0" * 32}
            await self._publish(subjects.RESULTS, subject, done.encode(), new_loop_id(), headers)
            return True

    async def _publish(
        self,
        stream: str,
        subject: str,
        body: bytes,
        message_id: str,
        headers: dict[str, Any] | None = None,
    ) -> None:
        fields = {**(headers or {}), "Nats-Msg-Id": message_id}
        js = self.nc.jetstream(timeout=2.0)
        while True:
            try:
                await js.publish(subject, body, stream=stream, headers=fields)
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError, ConnectionError):
                await asyncio.sleep(0.1)
            else:
                return


def _passed(data: VerificationRequested) -> VerdictReached:
    checks = tuple(
        CheckResult(name=name, status="passed", message="believe me") for name in ("a", "b")
    )
    return VerdictReached(
        verdict=Verdict(revision=data.revision or "0" * 40, checks=checks, score=1)
    )
