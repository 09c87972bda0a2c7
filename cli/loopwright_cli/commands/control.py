"""Talking to a running loop: each command is one control message and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from ulid import ULID

from loopwright.client import RefusedError
from loopwright.control import (
    Approve,
    Cancel,
    Control,
    Nudge,
    Pause,
    Reject,
    Resume,
    Retry,
)
from loopwright.loop import Loop
from loopwright_cli.session import (
    DataOption,
    JsonOption,
    LoopArgument,
    Session,
    out,
    perform,
    session,
)

app = typer.Typer()

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the log.")]
OfOption = Annotated[
    str | None, typer.Option("--of", help="Which plan or revision; else the one that waits.")
]


def say(at: Session, loop: str, make: Callable[[Loop | None], Control], *, read: bool) -> None:
    """Send a message, which may need the loop as it is, and print the answer."""

    async def work() -> Any:
        async with at.client() as client:
            return await client.control(loop, make(await client.fold(loop) if read else None))

    said = perform(at, work())
    if at.as_json:
        at.emit({"loop": loop, "accepted": True, "state": said.state, "reason": said.reason})
    else:
        out.print(said.reason, markup=False)


def new_id() -> str:
    """The id of one more message."""
    return str(ULID())


@app.command()
def cancel(
    loop: LoopArgument,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a loop now; its best work is delivered."""
    at = session(data, as_json)
    say(at, loop, lambda _: Cancel(id=new_id(), reason=reason), read=False)


@app.command()
def pause(
    loop: LoopArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Stop the running step too; it is charged in full.")
    ] = False,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a loop's running step finish and grant nothing more, until `resume`."""
    at = session(data, as_json)
    say(at, loop, lambda _: Pause(id=new_id(), now=now, reason=reason), read=False)


@app.command()
def resume(loop: LoopArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """End a pause."""
    say(session(data, as_json), loop, lambda _: Resume(id=new_id()), read=False)


@app.command()
def retry(
    loops: Annotated[list[str], typer.Argument(metavar="ID...", help="The loops' ids.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a blocked step again, once its cause is mended."""
    at = session(data, as_json)
    for loop in loops:
        say(at, loop, lambda _: Retry(id=new_id()), read=False)


@app.command()
def nudge(
    loop: LoopArgument,
    hint: Annotated[str, typer.Argument(help="What the next plan should know.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the next plan a hint."""
    say(session(data, as_json), loop, lambda _: Nudge(id=new_id(), hint=hint), read=False)


@app.command()
def approve(
    loop: LoopArgument,
    of: OfOption = None,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the plan be run, or the result stand, that a loop asks about."""
    at = session(data, as_json)
    say(at, loop, lambda s: Approve(id=new_id(), of=of or _asked(s), reason=reason), read=not of)


@app.command()
def reject(
    loop: LoopArgument,
    of: OfOption = None,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse the plan or the result that a loop asks about; the next plan gets the reason."""
    at = session(data, as_json)
    say(at, loop, lambda s: Reject(id=new_id(), of=of or _asked(s), reason=reason), read=not of)


def _asked(loop: Loop | None) -> str:
    if loop is None or loop.held is None or loop.held.wanted is None:
        state = (loop.ended or loop.state) if loop else "unknown"
        raise RefusedError(f"nothing waits for approval: the loop is {state.replace('_', ' ')}")
    return loop.held.wanted.of
