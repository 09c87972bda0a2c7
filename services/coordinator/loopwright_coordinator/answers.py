"""Answers to people: on the reply subject that they name in a header."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.service.bus import Bus
from loopwright.wire import Json


async def answer(bus: Bus, message: Msg, body: Mapping[str, Json]) -> None:
    """Publish the answer, if the sender asked for one.

    Only an inbox may be named: the coordinator may write where its senders may not, so it must
    not be made to publish anywhere else.
    """
    reply_to = (message.headers or {}).get(subjects.REPLY_TO, "")
    if reply_to.startswith("_INBOX") and not any(c in reply_to for c in " *>\t\r\n"):
        await bus.nc.publish(reply_to, json.dumps(body).encode())
