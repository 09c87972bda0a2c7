"""What of an event is news, and for whom: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from loopwright.chain import LoopEvent
from loopwright.events import LoopAdmitted, LoopEnded, LoopHeld
from loopwright.notify import NoticeKind, Notification
from loopwright.wire import Json, Wire

#: A loop that backs off for less than this is no news.
LONG_WAIT = timedelta(seconds=60)


class Target(Wire):
    """Where a notification goes: one of a webhook and the installation's command."""

    webhook: str | None = None
    trusted: bool = False
    """Named by the installation and not by a goal: its address may be a private one."""


class Letter(Wire):
    """A notification on its way to one target."""

    to: Target
    body: Notification


def notifications(event: LoopEvent, admitted: LoopAdmitted) -> Iterator[Notification]:
    """What an event tells people."""
    data = event.data
    if data.warnings:
        used = "; ".join(f"{w.budget} {w.used:g} of {w.cap:g}" for w in data.warnings)
        yield _news(event, admitted, "warning", detail=f"{used} are used")
    match data:
        case LoopHeld(hold="awaiting_approval", wanted=wanted):
            of = wanted.of if wanted else None
            yield _news(event, admitted, "approval", detail=data.detail, hold=data.hold, wanted=of)
        case LoopHeld(hold="backing_off") if data.until - event.time < LONG_WAIT:
            return
        case LoopHeld(hold="awaiting_children"):
            return
        case LoopHeld(hold="paused") if data.settles is not None and not _is_said(data):
            return  # the step that ran when the pause was said has ended
        case LoopHeld():
            held = {"detail": data.detail, "hold": data.hold, "reason": data.reason}
            yield _news(event, admitted, "hold", **held)
        case LoopEnded():
            ended = {"detail": data.detail, "outcome": data.outcome, "reason": data.reason}
            yield _news(event, admitted, "end", **ended, best=data.best)
        case _:
            return


def _is_said(data: LoopHeld) -> bool:
    """Whether this event is somebody's word to pause."""
    return data.control is not None and data.control.kind == "pause"


def _news(event: LoopEvent, admitted: LoopAdmitted, kind: NoticeKind, **more: Json) -> Notification:
    return Notification(
        id=f"{event.id}-{kind}",
        kind=kind,
        loop=event.subject,
        name=admitted.goal.name,
        tenant=admitted.tenant,
        time=event.time,
        n=event.n,
        **more,
    )


def targets(notification: Notification, admitted: LoopAdmitted) -> Iterator[Target]:
    """Whom the goal wants to be told."""
    for wish in admitted.goal.notify:
        if notification.kind in wish.on:
            yield Target(webhook=wish.webhook)
