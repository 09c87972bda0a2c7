"""A copy of the bus's streams, taken while everything runs, and put back into an empty bus.

The order makes the copies one whole, though each is of its own moment. Intake is copied before the
log: what was taken in between stands in both, and is done once. Everything that the log leads to
(claims, effects, leases, objects) is copied after it: what was begun in between counts as begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from loopwright import subjects
from loopwright.errors import BusUnavailableError, LoopwrightError

#: In this order; a stream that an installation does not have is left out.
ORDER = (
    subjects.GOALS,
    subjects.CONTROL,
    subjects.RESULTS,
    subjects.LOOPS,
    subjects.CLAIMS,
    subjects.EFFECTS,
    subjects.TENANTS,
    subjects.BREAKERS,
    subjects.LIMITS,
    subjects.MEMORY,
    subjects.TIMERS,
    subjects.NOTIFY,
    subjects.DEAD,
    f"OBJ_{subjects.OBJECTS}",
)
#: Written last: a folder without it is no backup.
MANIFEST = "backup.json"
#: Bytes in one message of a copy.
CHUNK_BYTES = 256 * 1024
#: The bus is silent for no longer than this, in seconds.
SILENT_S = 30.0
_API = "$JS.API.STREAM"


class BackupError(LoopwrightError):
    """A backup cannot be made or put back."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One stream of a backup."""

    stream: str
    messages: int
    bytes: int
    sha256: str


async def save(nc: Nats, folder: Path) -> list[Copied]:
    """Copy every stream into a new folder, its secrets included; for the administrator only."""
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty; name a new folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = [stream for stream in ORDER if await _info(nc, stream) is not None]
    if subjects.LOOPS not in present:
        raise BackupError(f"there is no stream {subjects.LOOPS} on this bus: nothing to back up")
    copied = [await _save_stream(nc, stream, folder) for stream in present]
    manifest = [{name: getattr(item, name) for name in Copied.__slots__} for item in copied]
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return copied


async def restore(nc: Nats, folder: Path) -> list[Copied]:
    """Put a backup back; refused where a stream is there already, or a file is not as written."""
    copied = _manifest(folder)
    there = [item.stream for item in copied if await _info(nc, item.stream) is not None]
    if there:
        raise BackupError(
            f"this bus has {', '.join(there)} already; restore into an empty bus, before the "
            "provisioning and the services start"
        )
    for item in copied:
        if _digest(folder / f"{item.stream}.snapshot") != item.sha256:
            raise BackupError(
                f"{folder / item.stream}.snapshot is not what was written; use another"
            )
    for item in copied:
        await _restore_stream(nc, item, folder)
    return copied


async def _save_stream(nc: Nats, stream: str, folder: Path) -> Copied:
    path = folder / f"{stream}.snapshot"
    request = {"chunk_size": CHUNK_BYTES, "no_consumers": False, "jsck": True}
    async with _chunks(nc) as (inbox, chunks):
        info = await _api(nc, f"{_API}.SNAPSHOT.{stream}", {**request, "deliver_subject": inbox})
        with path.open("wb") as file:
            while (chunk := await asyncio.wait_for(chunks.get(), SILENT_S)).data:
                file.write(chunk.data)
                if chunk.reply:
                    await nc.publish(chunk.reply, b"")
    ended = (chunk.headers or {}).get("Status")
    if ended not in (None, "204"):
        raise BackupError(f"the bus stopped in the middle of {stream} ({ended}); try again")
    described = {"config": info["config"], "state": info["state"]}
    (folder / f"{stream}.json").write_text(json.dumps(described), encoding="utf-8")
    return Copied(stream, info["state"]["messages"], path.stat().st_size, _digest(path))


@contextlib.asynccontextmanager
async def _chunks(nc: Nats) -> AsyncIterator[tuple[str, asyncio.Queue[Msg]]]:
    """An inbox, and what arrives there."""
    chunks: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, cb=chunks.put)
    try:
        yield inbox, chunks
    finally:
        await subscription.unsubscribe()


async def _restore_stream(nc: Nats, item: Copied, folder: Path) -> None:
    described = json.loads((folder / f"{item.stream}.json").read_text(encoding="utf-8"))
    answer = await _api(nc, f"{_API}.RESTORE.{item.stream}", described)
    to = answer["deliver_subject"]
    with (folder / f"{item.stream}.snapshot").open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            _checked(await nc.request(to, chunk, timeout=SILENT_S))
    found = _checked(await nc.request(to, b"", timeout=SILENT_S))["state"]["messages"]
    if found != item.messages:
        raise BackupError(f"{item.stream} has {found} messages now, {item.messages} were copied")


async def _info(nc: Nats, stream: str) -> Any:
    try:
        return await nc.jetstream().stream_info(stream)
    except NotFoundError:
        return None


async def _api(nc: Nats, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return _checked(await nc.request(subject, json.dumps(body).encode(), timeout=SILENT_S))
    except nats.errors.Error as error:
        raise BusUnavailableError(
            f"the bus does not answer on {subject} ({error!r}); backups need the key of `admin`"
        ) from error


def _checked(answer: Msg) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.data) if answer.data else {}
    if "error" in found:
        raise BackupError(f"the bus refused: {found['error'].get('description')}")
    return found


def _manifest(folder: Path) -> list[Copied]:
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return [Copied(**item) for item in listed]
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{folder} holds no whole backup: {error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
