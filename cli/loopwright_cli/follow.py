"""Following a loop on a terminal or in a pipe, to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.live import Live
from rich.text import Text

from loopwright.client import Client
from loopwright.errors import LoopwrightError
from loopwright.loop import Loop
from loopwright.progress import StepProgress
from loopwright.states import WAITS_FOR_A_PERSON
from loopwright.views import LoopView, view
from loopwright_cli.render import (
    DIM,
    ending,
    forecast,
    heading,
    iteration_line,
    look_next,
    news,
    status_line,
)
from loopwright_cli.session import INFRASTRUCTURE, NOT_ACHIEVED, OK, Session, command, err, out
from loopwright_cli.trees import turned

#: How often the moving line is drawn anew, times a second.
REFRESH_HZ = 8


@dataclass(slots=True)
class Progress:
    """Prints a line for each iteration and keeps a moving one below, on a terminal."""

    session: Session
    last: LoopView | None = None
    shown: int = 0
    written: int = 0
    """Tokens of the answer that is being written, about."""
    live: Live | None = field(default=None)

    def __rich__(self) -> Text:
        """The moving line, drawn anew as time passes, and what is expected in the end."""
        if self.last is None:
            return Text("waiting for the coordinator")
        line = status_line(self.last, written=self.written)
        if expected := forecast(self.last):
            line.append(f"\n     {expected}", style=DIM)
        return line

    def hear(self, told: StepProgress) -> None:
        """Take in how far the model's answer is."""
        self.written = told.output_tokens

    def on(self, loop: Loop) -> None:
        """Take in the loop after one more event."""
        before, self.last, self.written = self.last, view(loop), 0
        if self.session.as_json:
            return
        for item in loop.history:
            if item.iteration > self.shown:
                if not self.shown:
                    out.print(heading())
                self.shown = item.iteration
                out.print(iteration_line(item), soft_wrap=True)
        for line in (*news(before, self.last), *turned(before, self.last)):
            out.print(line, soft_wrap=True)

    @contextlib.contextmanager
    def showing(self) -> Any:
        """Keep the moving line while the loop runs."""
        if self.session.as_json or not out.is_terminal:
            yield
            return
        with Live(self, console=out, refresh_per_second=REFRESH_HZ, transient=True):
            yield


async def follow(
    session: Session, client: Client, loop: str, *, cancel: bool, stay: bool = False
) -> LoopView:
    """Show a loop to its end, or until it waits for a person unless told to stay.

    With `cancel`, Ctrl-C cancels it (a second one leaves at once).
    """
    progress = Progress(session)
    with progress.showing():
        async with client.progress(loop, progress.hear), _interrupts(client, loop, cancel):
            async for _, state in client.watch(loop):
                progress.on(state)
                waits = state.state in WAITS_FOR_A_PERSON and state.open is None
                if waits and not stay and await client.tip(loop) == state.tip:
                    break
    if progress.last is None:
        raise LoopwrightError(f"loop {loop}: its log is empty")
    return progress.last


@asynccontextmanager
async def _interrupts(client: Client, loop: str, cancel: bool) -> AsyncIterator[None]:
    running = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def stop_it() -> None:
        err.print("[bold]Cancelling the loop …[/] (Ctrl-C once more leaves it to itself)")
        try:
            await client.cancel(loop, "Ctrl-C")
        except LoopwrightError as error:
            err.print(str(error), markup=False, style="red")

    def interrupted() -> None:
        if tasks or not cancel:
            err.print(f"Left; the loop goes on by itself. Watch it with: loopwright watch {loop}")
            running.call_soon(_leave)
            return
        tasks.append(asyncio.create_task(stop_it()))

    running.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        running.remove_signal_handler(signal.SIGINT)


def _leave() -> None:
    raise SystemExit(INFRASTRUCTURE)


def finish(session: Session, last: LoopView) -> None:
    """Say how it came out, and leave with the exit code that says the same."""
    if session.as_json:
        session.emit(summary(last))
    else:
        words = next_words(last)
        commands = [command(text, session.place) for text in words]
        out.print(ending(last))
        out.print(look_next(commands), soft_wrap=True)
    raise typer.Exit(OK if last.outcome == "achieved" else NOT_ACHIEVED)


def next_words(last: LoopView) -> tuple[str, ...]:
    """The commands that a person is likely to want now."""
    loop, reason = last.loop, last.held.reason if last.held else None
    match last.state:
        case "budget_exhausted":
            budget = {"cost": "usd +1", "tokens": "tokens +10000", "actions": "actions +10"}
            more = budget.get(reason or "", "iterations +5")
            return f"amend {loop} --{more}", f"show {loop}", f"cancel {loop}"
        case "awaiting_approval":
            return f"show {loop}", f"approve {loop}", f"reject {loop} --reason WHY"
        case "blocked":
            return f"retry {loop}", f"show {loop}", f"cancel {loop}"
        case "paused":
            return f"resume {loop}", f"show {loop}", f"cancel {loop}"
        case _:
            return f"show {loop}", f"log {loop}", f"result {loop} --to out"


def summary(last: LoopView) -> dict[str, Any]:
    """The one object that `run --json` ends with."""
    return {
        "loop": last.loop,
        "outcome": last.outcome,
        "state": last.state,
        "reason": last.reason or (last.held.reason if last.held else None),
        "detail": last.detail,
        "iterations": last.iteration,
        "tokens": last.spent.tokens,
        "cost_usd": last.spent.cost_microusd / 1_000_000,
        "score": last.best.score if last.best else None,
        "revision": last.revision,
        "duration_s": round(last.duration_s, 3),
        "checks": [
            {"name": check.name, "status": check.status, "message": check.message}
            for check in last.checks
        ],
    }
