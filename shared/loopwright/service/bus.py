"""The bus as the services use it: durable publishes with compare-and-set, and leader reads.

Every error of nats-py is turned into one of ours here and nowhere else, so that callers decide on
what it means: lost a race (ConflictError), unknown outcome (BusUnavailableError), never possible
(PayloadTooLargeError).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from loopwright.direct import UNAVAILABLE, read_batch
from loopwright.direct import Stored as Stored
from loopwright.errors import BusUnavailableError, ConflictError, PayloadTooLargeError
from loopwright.refusals import refusal

#: Body and headers together. The server's max_payload is 1 MiB and counts headers; past it the
#: server drops the connection, so a message that large would take down worker after worker.
MAX_MESSAGE_BYTES = 256 * 1024

#: The server's codes for a lost compare-and-set; with replicas it uses either.
_CONFLICTS = frozenset({10071, 10164})


@dataclass(frozen=True, slots=True)
class Expect:
    """Compare-and-set: the last message on `subject` (a filter) must have this sequence."""

    seq: int
    subject: str


class Bus:
    """Publishing and reading on one connection."""

    def __init__(self, nc: Client, *, timeout_s: float = 5.0) -> None:
        self.nc = nc
        self.js: JetStreamContext = nc.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s

    async def publish(
        self,
        subject: str,
        body: bytes,
        *,
        stream: str,
        headers: Mapping[str, str] | None = None,
        expect: Expect | None = None,
    ) -> int:
        """Store a message and return its stream sequence."""
        fields = dict(headers or {})
        if expect is not None:
            fields["Nats-Expected-Last-Subject-Sequence"] = str(expect.seq)
            fields["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject
        size = len(body) + sum(len(name) + len(value) + 4 for name, value in fields.items())
        if size > MAX_MESSAGE_BYTES:
            raise PayloadTooLargeError(
                f"a message for {subject} has {size} bytes, {MAX_MESSAGE_BYTES} are allowed"
            )
        try:
            ack = await self.js.publish(subject, body, stream=stream, headers=fields)
        except APIError as error:
            if error.err_code in _CONFLICTS:
                raise ConflictError(f"{subject}: another writer was first") from error
            raise BusUnavailableError(refusal(subject, error)) from error
        except UNAVAILABLE as error:
            raise BusUnavailableError(f"{subject}: no answer from the bus") from error
        return ack.seq

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on a subject (or filter), read at the stream's leader."""
        return await self._get(stream, {"last_by_subj": subject})

    async def look(self, stream: str, subject: str) -> Stored | None:
        """The newest message on one subject, at any replica: for what never changes."""
        try:
            raw = await self.js.get_msg(stream, subject=subject, direct=True)
        except NotFoundError:
            return None
        except (APIError, *UNAVAILABLE) as error:
            raise BusUnavailableError(f"{stream}: no answer from the bus") from error
        return Stored(raw.subject or subject, raw.seq or 0, raw.data or b"", raw.headers or {})

    async def next(self, stream: str, subject: str, seq: int) -> Stored | None:
        """The first message on a subject (or filter) from `seq` on, read at the leader."""
        return await self._get(stream, {"seq": seq, "next_by_subj": subject})

    async def _get(self, stream: str, request: Mapping[str, object]) -> Stored | None:
        try:
            if "seq" in request:
                raw = await self.js.get_msg(
                    stream,
                    seq=int(str(request["seq"])),
                    subject=str(request["next_by_subj"]),
                    next=True,
                )
            else:
                raw = await self.js.get_msg(stream, subject=str(request["last_by_subj"]))
        except NotFoundError:
            return None
        except APIError as error:
            raise BusUnavailableError(f"{stream}: {error.description}") from error
        except UNAVAILABLE as error:
            raise BusUnavailableError(f"{stream}: no answer from the bus") from error
        return Stored(raw.subject or "", raw.seq or 0, raw.data or b"", raw.headers or {})

    async def read(
        self, stream: str, subject: str, seq: int, *, batch: int = 256
    ) -> AsyncIterator[Stored]:
        """Messages on a filter from `seq` on, in order, by batched direct reads.

        A follower may answer, so the end can be stale: who decides to do nothing compares with
        `last`.
        """
        start = seq
        while True:
            messages = await read_batch(
                self.nc, stream, subject, start, batch=batch, timeout_s=self._timeout_s
            )
            for message in messages:
                yield message
            if len(messages) < batch:
                return
            start = messages[-1].seq + 1
