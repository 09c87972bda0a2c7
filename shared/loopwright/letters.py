"""Dead letters: what could not be handled, to be read, tried again or dropped by people."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats
from pydantic import Field

from loopwright import subjects
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.wire import Wire

T = TypeVar("T")

#: Why a letter of a stream cannot be tried again; goals and control messages can.
_FINAL = {
    subjects.LOOPS: "only coordinators write the log; the step's own deadline heals it",
    subjects.TIMERS: "a timer only says that a loop is to be looked at; the sweep does so too",
    subjects.RESULTS: "its attempt token is kept nowhere; the step's own deadline settles it",
}


class LetterError(LoopwrightError):
    """There is no such letter, or it cannot be tried again."""


class Letter(Wire):
    """One message that could not be handled."""

    seq: int
    """Its place in DEAD: how people name it."""
    stream: str
    """Where it came from."""
    subject: str
    reason: str
    time: str
    headers: dict[str, str] = Field(default_factory=dict)
    body_base64: str = ""
    body_bytes: int = 0
    """Size of the whole body; what is kept may be its beginning."""

    @property
    def body(self) -> bytes:
        """What is kept of the body."""
        return base64.b64decode(self.body_base64)


@dataclass(frozen=True, slots=True)
class Letters:
    """The DEAD stream over a connection."""

    nc: Nats

    async def ls(self, limit: int = 50) -> list[Letter]:
        """The newest letters, the newest first."""
        state = (await self._js(self.nc.jetstream().stream_info(subjects.DEAD))).state
        window, found = 2 * limit, list[Letter]()
        while len(found) < limit:
            start = max(state.first_seq, state.last_seq - window + 1)
            found = [letter async for letter in self._from(start)]
            if start <= state.first_seq:
                break
            window *= 4
        return found[::-1][:limit]

    async def _from(self, seq: int) -> AsyncIterator[Letter]:
        while True:
            try:
                raw = await self._js(
                    self.nc.jetstream().get_msg(subjects.DEAD, seq, subject="dead.>", next=True)
                )
            except LetterError:
                return
            seq = (raw.seq or seq) + 1
            yield _letter(raw.seq or 0, raw.data or b"")

    async def show(self, seq: int) -> Letter:
        """One letter; LetterError if there is none."""
        raw = await self._js(self.nc.jetstream().get_msg(subjects.DEAD, seq), seq)
        return _letter(raw.seq or 0, raw.data or b"")

    async def retry(self, seq: int) -> Letter:
        """Publish the message anew where it came from, and drop the letter."""
        letter = await self.show(seq)
        why = _FINAL.get(letter.stream)
        if why is None and len(letter.body) < letter.body_bytes:
            why = f"only {len(letter.body)} of its {letter.body_bytes} bytes were kept"
        if why is not None:
            raise LetterError(f"letter {seq} cannot be tried again: {why}; see: show, drop")
        kept = {k: v for k, v in letter.headers.items() if not k.startswith("Nats-")}
        kept.pop(subjects.REPLY_TO, None)  # nobody waits there any more
        headers = {**kept, "Nats-Msg-Id": f"retry-{seq}"}
        js = self.nc.jetstream()
        await self._js(js.publish(letter.subject, letter.body, headers=headers))
        await self.drop(seq)
        return letter

    async def drop(self, seq: int) -> None:
        """Forget a letter."""
        await self.show(seq)
        await self._js(self.nc.jetstream().delete_msg(subjects.DEAD, seq), seq)

    async def _js(self, call: Awaitable[T], seq: int | None = None) -> T:
        """A JetStream call; its errors in our words."""
        try:
            return await call
        except nats.js.errors.NotFoundError as error:
            raise LetterError(f"there is no dead letter {seq}; see: dead-letters ls") from error
        except nats.js.errors.BadRequestError as error:
            raise LetterError(f"there is no dead letter {seq} ({error.description})") from error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"the dead letters cannot be read: {error}") from error


def _letter(seq: int, body: bytes) -> Letter:
    return Letter.model_validate({**json.loads(body), "seq": seq})
