"""Talking to a running loop: each command is one control message and its answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from ulid import ULID

from loopwright.client import RefusedError
from loopwright.control import (
    Amend,
    Approve,
    BudgetChange,
    Cancel,
    Control,
    LimitsChange,
    Nudge,
    Pause,
    Reject,
    Resume,
    Retry,
)
from loopwright.loop import Loop
from loopwright.wire import parse_duration
from loopwright_cli.session import (
    INVALID,
    DataOption,
    JsonOption,
    LoopArgument,
    Session,
    err,
    out,
    perform,
    session,
)

app = typer.Typer()

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the log.")]
OfOption = Annotated[
    str | None, typer.Option("--of", help="Which plan or revision; else the one that waits.")
]
#: Options that are durations: seconds, or a number with a unit.
DURATIONS = frozenset({"time", "patience", "hold_time", "action_time"})
Cap = Annotated[str | None, typer.Option(metavar="N|+N", show_default=False)]


def _say(at: Session, loop: str, make: Callable[[Loop | None], Control], *, read: bool) -> None:
    """Send a message, which may need the loop as it is, and print the answer."""

    async def work() -> Any:
        async with at.client() as client:
            return await client.control(loop, make(await client.fold(loop) if read else None))

    said = perform(at, work())
    if at.as_json:
        at.emit({"loop": loop, "accepted": True, "state": said.state, "reason": said.reason})
    else:
        out.print(said.reason, markup=False)


def _id() -> str:
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
    _say(at, loop, lambda _: Cancel(id=_id(), reason=reason), read=False)


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
    _say(at, loop, lambda _: Pause(id=_id(), now=now, reason=reason), read=False)


@app.command()
def resume(loop: LoopArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """End a pause."""
    _say(session(data, as_json), loop, lambda _: Resume(id=_id()), read=False)


@app.command()
def retry(
    loops: Annotated[list[str], typer.Argument(metavar="ID...", help="The loops' ids.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a blocked step again, once its cause is mended."""
    at = session(data, as_json)
    for loop in loops:
        _say(at, loop, lambda _: Retry(id=_id()), read=False)


@app.command()
def nudge(
    loop: LoopArgument,
    hint: Annotated[str, typer.Argument(help="What the next plan should know.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the next plan a hint."""
    _say(session(data, as_json), loop, lambda _: Nudge(id=_id(), hint=hint), read=False)


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
    _say(at, loop, lambda s: Approve(id=_id(), of=of or _asked(s), reason=reason), read=not of)


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
    _say(at, loop, lambda s: Reject(id=_id(), of=of or _asked(s), reason=reason), read=not of)


def _asked(loop: Loop | None) -> str:
    if loop is None or loop.held is None or loop.held.wanted is None:
        state = (loop.ended or loop.state) if loop else "unknown"
        raise RefusedError(f"nothing waits for approval: the loop is {state.replace('_', ' ')}")
    return loop.held.wanted.of


@app.command()
def amend(
    loop: LoopArgument,
    iterations: Cap = None,
    tokens: Cap = None,
    usd: Cap = None,
    actions: Cap = None,
    time: Cap = None,
    attempts: Cap = None,
    events: Cap = None,
    patience: Cap = None,
    hold_time: Cap = None,
    action_time: Cap = None,
    memory_mb: Cap = None,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set new caps, or raise them by +N; a loop held for its budget goes on.

    --time is from admission to the end: +1h gives one hour more.
    """
    at = session(data, as_json)
    budget = _given(iterations=iterations, tokens=tokens, usd=usd, actions=actions, time=time)
    limits = _given(
        attempts=attempts, events=events, patience=patience, hold_time=hold_time,
        action_time=action_time, memory_mb=memory_mb,
    )  # fmt: skip

    def make(state: Loop | None) -> Control:
        assert state is not None
        try:
            return Amend(
                id=_id(),
                reason=reason,
                budget=BudgetChange.model_validate(_absolute(budget, state.budget)),
                limits=LimitsChange.model_validate(_absolute(limits, state.limits)),
            )
        except (ValidationError, ValueError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            where = f"--{str(first['loc'][-1]).replace('_', '-')}: " if first else ""
            err.print(f"{where}{first['msg'] if first else error}", markup=False, style="red")
            raise typer.Exit(INVALID) from error

    _say(at, loop, make, read=True)


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _absolute(changes: dict[str, str], current: Any) -> dict[str, Any]:
    """The new values: what begins with + is added to what the loop has."""
    return {name: _sum(name, text, getattr(current, name)) for name, text in changes.items()}


def _sum(name: str, text: str, now: Any) -> Any:
    relative, text = text.startswith("+"), text.removeprefix("+")
    if relative and now is None:
        raise ValueError(f"--{name}: the loop has no such cap to raise; give the value itself")
    try:
        value = Decimal(
            str(
                parse_duration(text if text[-1:].isalpha() else f"{text}s")
                if name in DURATIONS
                else text
            )
        )
    except InvalidOperation:
        raise ValueError(f"--{name}: '{text}' is no number") from None
    return str(Decimal(str(now)) + value if relative else value)
