"""Changing a running loop's caps and limits: the options become one control message."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from loopwright.control import Amend, BudgetChange, Control, LimitsChange
from loopwright.loop import Loop
from loopwright.wire import parse_duration
from loopwright_cli.commands.control import ReasonOption, new_id, say
from loopwright_cli.session import DataOption, JsonOption, LoopArgument, misused, session

app = typer.Typer()

Cap = Annotated[str | None, typer.Option(metavar="N|+N", show_default=False)]
#: Options that are durations: seconds, or a number with a unit.
DURATIONS = frozenset(
    ("time", "patience", "plan_time", "execute_time", "verify_time", "action_time", "hold_time")
)


@app.command()
def amend(
    context: typer.Context,
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
    plan_time: Cap = None,
    execute_time: Cap = None,
    verify_time: Cap = None,
    action_time: Cap = None,
    memory_mb: Cap = None,
    processes: Cap = None,
    output_kb: Cap = None,
    disk_mb: Cap = None,
    reason: ReasonOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set new caps, or raise them by +N; a loop held for its budget goes on.

    --time is from admission to the end: +1h gives one hour more.
    """
    at, given = session(data, as_json), dict(context.params)

    def make(state: Loop | None) -> Control:
        assert state is not None
        try:
            return change(state, given, reason)
        except (ValidationError, ValueError) as error:
            misused(at, _sentence(error))

    say(at, loop, make, read=True)


def change(loop: Loop, given: dict[str, Any], reason: str) -> Amend:
    """The message that sets what is given; ValueError for what is no such value."""
    return Amend(
        id=new_id(),
        reason=reason,
        budget=BudgetChange.model_validate(_absolute(BudgetChange, given, loop.budget)),
        limits=LimitsChange.model_validate(_absolute(LimitsChange, given, loop.limits)),
    )


def _absolute(
    of: type[BudgetChange | LimitsChange], given: dict[str, Any], current: Any
) -> dict[str, Any]:
    """The new values: what begins with + is added to what the loop has."""
    return {
        name: _sum(name, given[name], getattr(current, name))
        for name in of.model_fields
        if given.get(name) is not None
    }


def _sum(name: str, text: str, now: Any) -> Any:
    relative, text = text.startswith("+"), text.removeprefix("+")
    if relative and now is None:
        raise ValueError(f"{_option(name)}: the loop has no such cap to raise; give the value")
    if name in DURATIONS:
        text = str(parse_duration(text if text[-1:].isalpha() else f"{text}s"))
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{_option(name)}: '{text}' is no number") from None
    value = Decimal(str(now)) + value if relative else value
    return float(value) if name in DURATIONS else str(value)


def _sentence(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{_option(str(first['loc'][-1]))}: {first['msg']}"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
