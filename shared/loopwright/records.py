"""Small records that all replicas share: one subject each, changed by compare-and-set.

A change is a function of what stands there. Whoever loses the race reads again and decides again,
so nothing is ever written on what is no longer so. Every change stays in the stream for a while.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.listing import subjects_of
from loopwright.wire import Wire

RecordT = TypeVar("RecordT", bound=Wire)

#: Races that may be lost in a row before the bus counts as too busy.
TRIES = 200
#: Between two tries, in seconds, times their number, up to the second.
PAUSE_S, MAX_PAUSE_S = 0.002, 0.05
#: The server's codes for a lost compare-and-set; with replicas it uses either.
_CONFLICTS = frozenset({10071, 10164})
_PLAIN = re.compile(rb"[A-Za-z0-9_-]")


def token(name: str) -> str:
    """Any name as one token of a subject: other bytes are written as `=` and two digits."""
    return "".join(
        chr(byte) if _PLAIN.match(bytes([byte])) else f"={byte:02x}" for byte in name.encode()
    )


@dataclass(frozen=True, slots=True)
class Records(Generic[RecordT]):
    """The records of one kind on a stream."""

    nc: Nats
    stream: str
    kind: type[RecordT]
    timeout_s: float = 5.0

    async def get(self, subject: str) -> tuple[RecordT | None, int]:
        """The record as the stream's leader has it, and its sequence: None and 0 if none."""
        js = self.nc.jetstream(timeout=self.timeout_s)
        try:
            stored = await js.get_msg(self.stream, subject=subject)
        except nats.js.errors.NotFoundError:
            return None, 0
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, ConnectionError) as error:
            raise BusUnavailableError(f"{subject}: no answer from the bus ({error})") from error
        return self.kind.model_validate_json(stored.data or b""), stored.seq or 0

    async def put(self, subject: str, record: RecordT, expected: int) -> int:
        """Store a record if the newest is still `expected`; ConflictError if it is not.

        BusUnavailableError where nobody knows whether it was stored.
        """
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(expected),
            "Nats-Expected-Last-Subject-Sequence-Subject": subject,
        }
        body = record.model_dump_json(exclude_defaults=True).encode()
        js = self.nc.jetstream(timeout=self.timeout_s)
        try:
            ack = await js.publish(subject, body, stream=self.stream, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code in _CONFLICTS:
                raise ConflictError(f"{subject}: another writer was first") from error
            raise BusUnavailableError(f"{subject}: {error.description}") from error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, ConnectionError) as error:
            raise BusUnavailableError(f"{subject}: no answer from the bus ({error})") from error
        return ack.seq

    async def change(
        self, subject: str, change: Callable[[RecordT | None], RecordT | None]
    ) -> RecordT | None:
        """Apply a change to what stands there, until it is stored; the record after it.

        `change` gives None, or what it was given, where nothing is to be written. It is called
        anew with what stands there after every lost race, and must not mind.
        """
        for number in range(TRIES):
            record, seq = await self.get(subject)
            wanted = change(record)
            if wanted is None or wanted is record:
                return record
            try:
                await self.put(subject, wanted, seq)
            except ConflictError:
                await asyncio.sleep(min(MAX_PAUSE_S, PAUSE_S * number))
                continue
            return wanted
        raise BusUnavailableError(f"{subject}: {TRIES} writers were faster, one after the other")

    async def all(self, pattern: str) -> list[RecordT]:
        """The newest record of each subject that matches, in the subjects' order."""
        found = []
        for subject in sorted(await subjects_of(self.nc, self.stream, pattern)):
            record, _ = await self.get(subject)
            if record is not None:
                found.append(record)
        return found
