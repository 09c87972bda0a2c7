"""Reading a stream without a consumer: batches of messages from a sequence on, in order.

Any replica of the stream may answer, so the end can be stale: whoever decides to do nothing
compares with the leader's tip. No consumer means that nothing is left behind, and that readers
need no right to make one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError

from loopwright.errors import BusUnavailableError

UNAVAILABLE = (
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


async def read_batch(
    nc: Client, stream: str, subject: str, seq: int, *, batch: int = 256, timeout_s: float = 5.0
) -> list[Stored]:
    """At most `batch` messages on a filter, from `seq` on; BusUnavailableError."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    request = json.dumps({"seq": seq, "next_by_subj": subject, "batch": batch})
    found: list[Stored] = []
    try:
        await nc.publish(f"$JS.API.DIRECT.GET.{stream}", request.encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=timeout_s)
            headers = message.headers or {}
            if "Status" in headers:  # 204: the end of the batch; 404: nothing there
                if headers["Status"] not in ("204", "404"):
                    raise BusUnavailableError(f"{stream}: {headers.get('Description', headers)}")
                return found
            found.append(
                Stored(
                    headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data, headers
                )
            )
    except UNAVAILABLE as error:
        raise BusUnavailableError(f"{stream}: no answer from the bus") from error
    finally:
        await subscription.unsubscribe()
