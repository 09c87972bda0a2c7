"""The bare shape and the bare bus: what the same bus carries with no features.

`shape`: a coordinator and three workers exchange the same six durable messages an iteration, with
pydantic, compare-and-set, the hash chain and raw consumers; no telemetry, budgets or claims.
`ring`: three processes hand one message a step on to each other, by compare-and-set.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from pydantic import BaseModel, ConfigDict

ROLES = ("planner", "executor", "verifier")
NEXT = {"plan": "execute", "execute": "verify", "verify": "plan"}
DOES = {"planner": "plan", "executor": "execute", "verifier": "verify"}
#: Messages that one pull asks for, and its life in seconds.
BATCH, PULL_S = 1000, 30


class Message(BaseModel):
    """A step that is granted or done."""

    model_config = ConfigDict(frozen=True)

    loop: str
    iteration: int
    n: int
    prev: str
    seq: int = 0
    """Of the grant that is answered."""
    iterations: int
    data: str = "." * 100


async def declare(nc: Client) -> None:
    """The streams and consumers of both."""
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="GOALS", subjects=["goal.>"]))
    await js.add_stream(StreamConfig(name="LOOPS", subjects=["loop.>"]))
    await js.add_stream(
        StreamConfig(name="RESULTS", subjects=["result.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    for role in ROLES:
        await js.add_consumer("LOOPS", _consumer(role, f"loop.*.{DOES[role]}"))
    await js.add_consumer("GOALS", _consumer("coordinator", "goal.>"))
    await js.add_consumer("RESULTS", _consumer("coordinator", "result.>"))


def _consumer(name: str, subject: str) -> ConsumerConfig:
    return ConsumerConfig(durable_name=name, filter_subject=subject, max_ack_pending=20_000)


async def consume(nc: Client, stream: str, name: str, on: Callable[[Msg], Awaitable[None]]) -> None:
    """Hand on each message of a consumer, by one long-lived pull, and acknowledge it."""
    inbox, ask = nc.new_inbox(), f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
    body = b'{"batch":%d,"expires":%d}' % (BATCH, PULL_S * 10**9)
    left = BATCH

    async def heard(message: Msg) -> None:
        nonlocal left
        left -= 1
        if message.headers and "Status" in message.headers:
            left = 0
        else:
            await on(message)
            await nc.publish(message.reply, b"+ACK")
        if left <= 0:
            left = BATCH
            await nc.publish(ask, body, reply=inbox)

    await nc.subscribe(inbox, cb=heard)
    await nc.publish(ask, body, reply=inbox)


async def _store(nc: Client, subject: str, body: bytes, expect: int | None = None) -> int:
    headers = None
    if expect is not None:
        loop = subject.split(".")[1]
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(expect),
            "Nats-Expected-Last-Subject-Sequence-Subject": f"loop.{loop}.>",
        }
    return (await nc.jetstream().publish(subject, body, headers=headers)).seq


@dataclass(slots=True)
class Party:
    """One process of the shape or the ring; each message is handled in a task of its own."""

    nc: Client
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def apart(self, work: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
        """Begin the work, and take the next message meanwhile."""

        async def begin(message: Msg) -> None:
            task = asyncio.ensure_future(work(message))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        return begin

    async def on_goal(self, message: Msg) -> None:
        """Begin a loop: its first grant."""
        await _store(self.nc, f"loop.{_loop(message)}.plan", message.data, 0)

    async def on_result(self, message: Msg) -> None:
        """Chain the next grant to the answered one, or end the loop."""
        done = Message.model_validate_json(message.data)
        await self._append(message.subject.split(".")[1], done, done.seq)

    async def on_grant(self, role: str, message: Msg) -> None:
        """Do nothing and say so, with the hash of what was granted."""
        await _store(self.nc, f"result.{DOES[role]}.{_loop(message)}", _answer(message))

    async def on_turn(self, message: Msg) -> None:
        """The ring: append what is next at once."""
        done = Message.model_validate_json(_answer(message))
        await self._append(message.subject.split(".")[-1], done, done.seq)

    async def _append(self, kind: str, done: Message, seq: int) -> None:
        next_kind = NEXT[kind]
        iteration = done.iteration + (next_kind == "plan")
        if iteration > done.iterations:
            next_kind = "loop_ended"
        body = done.model_copy(update={"iteration": iteration, "n": done.n + 1})
        subject = f"loop.{done.loop}.{next_kind}"
        await _store(self.nc, subject, body.model_dump_json().encode(), seq)


def _loop(message: Msg) -> str:
    return message.subject.split(".")[1]


def _answer(message: Msg) -> bytes:
    granted = Message.model_validate_json(message.data)
    digest = hashlib.sha256(message.data).hexdigest()
    seq = message.metadata.sequence.stream
    return granted.model_copy(update={"prev": digest, "seq": seq}).model_dump_json().encode()


async def main(kind: str, part: str, url: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    nc = await nats.connect(url)
    party = Party(nc)
    if part == "coordinator":
        await consume(nc, "GOALS", part, party.apart(party.on_goal))
        await consume(nc, "RESULTS", part, party.apart(party.on_result))
    elif kind == "ring":
        await consume(nc, "LOOPS", part, party.apart(party.on_turn))
        if part == "planner":
            await consume(nc, "GOALS", "coordinator", party.apart(party.on_goal))
    else:
        await consume(nc, "LOOPS", part, party.apart(lambda m: party.on_grant(part, m)))
    print('{"event": "ready"}', file=sys.stderr, flush=True)
    await stop.wait()
    await nc.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
