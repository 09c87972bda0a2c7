"""Dead letters: what cannot be handled is recorded with its reason, never dropped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from loopwright import subjects
from loopwright.service.bus import Bus

#: As much of a body as is kept; base64 makes it a third larger.
KEPT_BYTES = 128 * 1024
#: Headers that are secrets or noise in a record.
_LEFT_OUT = frozenset({subjects.ATTEMPT_TOKEN})


async def bury(
    bus: Bus,
    *,
    stream: str,
    subject: str,
    seq: int,
    body: bytes,
    headers: Mapping[str, str] | None,
    reason: str,
) -> None:
    """Record a message on DEAD. Burying the same message twice records it once."""
    record = {
        "stream": stream,
        "subject": subject,
        "seq": seq,
        "reason": reason,
        "time": datetime.now(UTC).isoformat(),
        "headers": {k: v for k, v in (headers or {}).items() if k not in _LEFT_OUT},
        "body_base64": base64.b64encode(body[:KEPT_BYTES]).decode(),
        "body_bytes": len(body),
    }
    await bus.publish(
        subjects.dead(stream),
        json.dumps(record).encode(),
        stream=subjects.DEAD,
        headers={"Nats-Msg-Id": f"dead-{stream}-{seq}"},
    )
