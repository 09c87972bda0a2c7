"""Bytes too large for a message, kept by name in a NATS object store.

A message carries the name or the digest (the claim check), the store the content. A name holds
one content for ever; writing the same again changes nothing.

LoopwrightError
├── ObjectMissingError      nothing is kept under that name; retrying does not help
├── ObjectDamagedError      what is kept is not what was put; put it again
└── BusUnavailableError     the store did not answer; try again
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import nats.errors
import nats.js.errors
from nats.js.api import ObjectInfo, ObjectMeta, ObjectMetaOptions, RawStreamMsg

from loopwright.errors import BusUnavailableError, LoopwrightError

if TYPE_CHECKING:
    from nats.js.object_store import ObjectStore

#: Bytes in one message of an object; far below the server's 1 MiB, over which it hangs up.
CHUNK_BYTES = 128 * 1024

#: Before a chunk that is missing is asked for again, in seconds.
CHUNK_WAIT_S = 0.1

#: Tries of a request that the store did not answer, and seconds before the second; then doubled.
ATTEMPTS = 4
BACKOFF_S = 0.1

#: Seconds that a read may take besides one for every MiB. A read waits for ever by itself when
#: chunks are gone, which happens when a writer gave up between the chunks and the entry.
READ_S = 5.0

_DIGEST = re.compile(r"\Asha256:[0-9a-f]{64}\Z")
_TRANSIENT = (
    TimeoutError,
    nats.errors.NoRespondersError,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.NoStreamResponseError,
)
_DAMAGED = (nats.js.errors.DigestMismatchError, nats.js.errors.BadObjectMetaError)

T = TypeVar("T")


class ObjectMissingError(LoopwrightError):
    """Nothing is kept under that name."""


class ObjectDamagedError(LoopwrightError):
    """What is kept is not what was put."""


class Objects(Protocol):
    """Contents by name."""

    async def put(self, name: str, data: bytes, *, meta: Mapping[str, str] = {}) -> None:
        """Keep `data` and `meta` under `name`; a repetition is a no-op."""

    async def get(self, name: str) -> bytes:
        """The content, checked against its digest; raises ObjectMissingError."""

    async def info(self, name: str) -> Mapping[str, str]:
        """What was put as `meta`; raises ObjectMissingError."""

    async def exists(self, name: str) -> bool:
        """Whether something is kept under `name`."""


def digest_of(data: bytes) -> str:
    """The claim check of a content: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_digest(text: str) -> bool:
    """Whether `text` is a claim check."""
    return _DIGEST.match(text) is not None


async def check_in(objects: Objects, data: bytes) -> str:
    """Keep a content under its own digest and return that, to be sent in its place."""
    digest = digest_of(data)
    await objects.put(digest, data)
    return digest


async def redeem(objects: Objects, digest: str) -> bytes:
    """The content that a claim check stands for; another content raises ObjectDamagedError."""
    data = await objects.get(digest)
    if digest_of(data) != digest:
        raise ObjectDamagedError(f"object {digest}: its content has digest {digest_of(data)}")
    return data


class MemoryObjects:
    """Contents in this process: for tests and for runs without a server."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, dict[str, str]]] = {}

    async def put(self, name: str, data: bytes, *, meta: Mapping[str, str] = {}) -> None:
        """Keep `data` and `meta` under `name`."""
        self._kept[name] = (data, dict(meta))

    async def get(self, name: str) -> bytes:
        """The content; raises ObjectMissingError."""
        return self._entry(name)[0]

    async def info(self, name: str) -> Mapping[str, str]:
        """What was put as `meta`; raises ObjectMissingError."""
        return dict(self._entry(name)[1])

    async def exists(self, name: str) -> bool:
        """Whether something is kept under `name`."""
        return name in self._kept

    def _entry(self, name: str) -> tuple[bytes, dict[str, str]]:
        try:
            return self._kept[name]
        except KeyError:
            raise _missing(name) from None


class NatsObjects:
    """Contents in one bucket of a JetStream object store."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        attempts: int = ATTEMPTS,
        backoff_s: float = BACKOFF_S,
        read_s: float = READ_S,
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._read_s = read_s

    async def put(self, name: str, data: bytes, *, meta: Mapping[str, str] = {}) -> None:
        """Keep `data` and `meta` under `name`; a repetition is a no-op."""
        await self._retried(name, lambda: self._put(name, data, dict(meta)))

    async def get(self, name: str) -> bytes:
        """The content, checked against its digest; raises ObjectMissingError."""
        return await self._retried(name, lambda: self._get(name))

    async def info(self, name: str) -> Mapping[str, str]:
        """What was put as `meta`; raises ObjectMissingError."""
        return _meta(await self._retried(name, lambda: self._store.get_info(name)))

    async def exists(self, name: str) -> bool:
        """Whether something is kept under `name`."""
        try:
            await self.info(name)
        except ObjectMissingError:
            return False
        return True

    async def _put(self, name: str, data: bytes, meta: dict[str, str]) -> None:
        if not await self._holds(name, data, meta):
            options = ObjectMetaOptions(max_chunk_size=CHUNK_BYTES)
            await self._store.put(name, data, ObjectMeta(name=name, headers=meta, options=options))

    async def _holds(self, name: str, data: bytes, meta: dict[str, str]) -> bool:
        """Whether the same is there already, read back: the entry alone may outlive its chunks."""
        try:
            info = await self._store.get_info(name)
            if info.digest != _nats_digest(data) or _meta(info) != meta:
                return False
            return await self._get(name) == data
        except (nats.js.errors.ObjectNotFoundError, TimeoutError, *_DAMAGED):
            return False

    async def _get(self, name: str) -> bytes:
        """The chunks, read one by one: the client's own way makes a consumer."""
        info = await self._store.get_info(name)
        content, seq = bytearray(), 0
        async with asyncio.timeout(self._read_s + (info.size or 0) / 2**20):
            while len(content) < (info.size or 0):
                chunk = await self._chunk(f"$O.{self._store._name}.C.{info.nuid}", seq + 1)
                content += chunk.data or b""
                seq = chunk.seq or 0
        if _nats_digest(bytes(content)) != info.digest:
            raise nats.js.errors.DigestMismatchError
        return bytes(content)

    async def _chunk(self, subject: str, seq: int) -> RawStreamMsg:
        """The first chunk from `seq` on; one that is missing may be on its way to a replica."""
        js, stream = self._store._js, self._store._stream
        while True:
            try:
                return await js.get_msg(stream, seq, subject=subject, next=True, direct=True)
            except nats.js.errors.NotFoundError:
                await asyncio.sleep(CHUNK_WAIT_S)

    async def _retried(self, name: str, request: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(self._attempts):
            try:
                return await request()
            except nats.js.errors.ObjectNotFoundError:
                raise _missing(name) from None
            except _DAMAGED as error:
                raise ObjectDamagedError(
                    f"object {name}: what is stored does not have its digest; put it again"
                ) from error
            except _TRANSIENT as error:
                last = error
            except nats.errors.Error as error:
                raise BusUnavailableError(f"object {name}: {error}") from error
            if attempt + 1 < self._attempts:
                await asyncio.sleep(self._backoff_s * 2**attempt)
        raise BusUnavailableError(
            f"object {name}: the object store did not answer {self._attempts} times; "
            "is the NATS server up, and does the bucket exist?"
        ) from last


def _missing(name: str) -> ObjectMissingError:
    return ObjectMissingError(f"object {name} is not in the object store")


def _meta(info: ObjectInfo) -> dict[str, str]:
    return dict(info.headers or {})


def _nats_digest(data: bytes) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
