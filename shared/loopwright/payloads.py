"""Claim check: a body too large for a message goes to the object store and travels by digest."""

from __future__ import annotations

import hashlib
import json

from loopwright.errors import UnreadableError
from loopwright.objects import Objects

#: Larger bodies travel by reference.
INLINE_BYTES = 64 * 1024
#: What the fetched body may have at most.
MAX_BYTES = 32 * 1024 * 1024

_KEPT = ("specversion", "id", "source", "type", "subject", "time", "n", "prev", "minreader")


async def check_in(body: bytes, objects: Objects) -> bytes:
    """The body itself, or a stub that refers to where it was put: a CloudEvent with `dataref`."""
    if len(body) <= INLINE_BYTES:
        return body
    name = hashlib.sha256(body).hexdigest()
    await objects.put(f"payload/{name}", body)
    event = json.loads(body)
    stub = {key: event[key] for key in _KEPT if key in event}
    return json.dumps({"dataref": name, **stub}, separators=(",", ":")).encode()


async def check_out(body: bytes, objects: Objects) -> bytes:
    """The whole body behind what was received; its digest is that of the chain."""
    if not body.startswith(b'{"dataref":'):
        return body
    try:
        name = str(json.loads(body)["dataref"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError("a reference to a payload is no JSON") from error
    if len(name) != 64 or not name.isalnum():
        raise UnreadableError("a reference to a payload is no digest")
    full = await objects.get(f"payload/{name}")
    if len(full) > MAX_BYTES or hashlib.sha256(full).hexdigest() != name:
        raise UnreadableError(f"the payload {name} is not what its digest says")
    return full
