"""Requests and their answers: stored ones to the coordinator, queries to the state service."""

from __future__ import annotations

import json
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.refusals import refusal

#: How long an answer of the coordinator or of the state service is waited for, in seconds.
ANSWER_S = 15.0


class RefusedError(LoopwrightError):
    """The request was understood and refused, with the reason."""


async def ask(nc: Nats, subject: str, body: bytes) -> dict[str, Any]:
    """Store a request and wait for the answer on an inbox of our own."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, max_msgs=1)
    try:
        headers = {subjects.REPLY_TO: inbox}
        await nc.jetstream(timeout=ANSWER_S).publish(subject, body, headers=headers)
        answer = await subscription.next_msg(timeout=ANSWER_S)
    except nats.js.errors.NoStreamResponseError as error:
        raise BusUnavailableError(
            f"nothing takes {subject}: is the coordinator up? See: loopwright doctor"
        ) from error
    except nats.js.errors.APIError as error:
        raise BusUnavailableError(refusal(subject, error)) from error
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        raise BusUnavailableError(
            f"{subject}: no answer within {ANSWER_S:g} s; the request may have been stored, "
            "and is done as soon as a coordinator is up"
        ) from error
    return dict(json.loads(answer.data))


async def query(nc: Nats, subject: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the state service answers; RefusedError where it refuses."""
    try:
        answer = await nc.request(subject, json.dumps(wanted).encode(), timeout=ANSWER_S)
    except (nats.errors.NoRespondersError, TimeoutError) as error:
        raise BusUnavailableError(
            "the state service does not answer; see: loopwright doctor"
        ) from error
    found: dict[str, Any] = json.loads(answer.data)
    if found.get("error"):
        raise RefusedError(str(found["error"]))
    return found
