"""The bus as the services use it: durable publishes with compare-and-set, and leader reads.

Every error of nats-py is turned into one of ours here and nowhere else, so that callers decide on
what it means: lost a race (ConflictError), unknown outcome (BusUnavailableError), never possible
(PayloadTooLargeError).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from loopwright.errors import BusUnavailableError, ConflictError, PayloadTooLargeError

#: Body and headers together. The server's max_payload is 1 MiB and counts headers; past it the
#: server drops the connection, so a message that large would take down worker after worker.
MAX_MESSAGE_BYTES = 256 * 1024

#: The server's codes for a lost compare-and-set; with replicas it uses either.
_CONFLICTS = frozenset({10071, 10164})
_UNAVAILABLE = (
    TimeoutError,  # of nats-py, whose own is a subclass, and of asyncio
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    NoStreamResponseError,
    ConnectionError,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the stream holds it."""

    subject: str
    seq: int
    body: bytes
    headers: Mapping[str, str]


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
            raise BusUnavailableError(f"{subject}: {error.description}") from error
        except _UNAVAILABLE as error:
            raise BusUnavailableError(f"{subject}: no answer from the bus") from error
        return ack.seq

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on a subject (or filter), read at the stream's leader."""
        return await self._get(stream, {"last_by_subj": subject})

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
        except _UNAVAILABLE as error:
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
            messages = await self._read_batch(stream, subject, start, batch)
            for message in messages:
                yield message
            if len(messages) < batch:
                return
            start = messages[-1].seq + 1

    async def _read_batch(self, stream: str, subject: str, seq: int, batch: int) -> list[Stored]:
        inbox = self.nc.new_inbox()
        subscription = await self.nc.subscribe(inbox)
        request = json.dumps({"seq": seq, "next_by_subj": subject, "batch": batch})
        found: list[Stored] = []
        try:
            await self.nc.publish(f"$JS.API.DIRECT.GET.{stream}", request.encode(), reply=inbox)
            while True:
                message = await subscription.next_msg(timeout=self._timeout_s)
                headers = message.headers or {}
                if "Status" in headers:  # 204: the end of the batch; 404: nothing there
                    if headers["Status"] not in ("204", "404"):
                        raise BusUnavailableError(
                            f"{stream}: {headers.get('Description', headers)}"
                        )
                    return found
                found.append(
                    Stored(
                        headers["Nats-Subject"],
                        int(headers["Nats-Sequence"]),
                        message.data,
                        headers,
                    )
                )
        except _UNAVAILABLE as error:
            raise BusUnavailableError(f"{stream}: no answer from the bus") from error
        finally:
            await subscription.unsubscribe()
