"""What people are told of a loop that they do not watch; the state service delivers it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from loopwright.events import Best, HoldKind, LoopOutcome, Reason
from loopwright.wire import Wire

NoticeKind = Literal["hold", "approval", "warning", "end"]
NOTICE_KINDS: tuple[NoticeKind, ...] = ("hold", "approval", "warning", "end")


class Notification(Wire):
    """What a webhook or a command is told: one thing that happened to one loop."""

    id: str
    """The same however often it is delivered: the event's id and the kind."""
    kind: NoticeKind
    loop: str
    name: str
    tenant: str
    time: datetime
    n: int
    """Position of the event in the loop's log."""
    detail: str
    """A sentence with the values and the way out."""
    hold: HoldKind | None = None
    outcome: LoopOutcome | None = None
    reason: Reason | None = None
    best: Best | None = None
    wanted: str | None = None
    """What is to be approved: the plan's digest or the revision."""
