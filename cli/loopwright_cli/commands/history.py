"""Looking back at a loop, and beginning a new one from an earlier point of it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from loopwright import history
from loopwright.views import view
from loopwright_cli.commands.loops import say_loop
from loopwright_cli.follow import finish, follow
from loopwright_cli.session import (
    DataOption,
    JsonOption,
    LoopArgument,
    command,
    out,
    perform,
    session,
)

app = typer.Typer()


@app.command()
def replay(
    loop: LoopArgument,
    to: Annotated[int | None, typer.Option(min=0, help="Stop after this event of the log.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a loop as it was after an event, folded from its log alone."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            state = await history.replay(client, loop, to)
        if as_json:
            at.emit(view(state).model_dump(mode="json", exclude_none=True))
        else:
            out.print(
                Text(f"after event {state.n}, {state.updated_at:%Y-%m-%d %H:%M:%S}: {state.state}")
            )
            say_loop(state)

    perform(at, work())


@app.command()
def diff(
    loop: LoopArgument,
    before: Annotated[int, typer.Argument(metavar="A", min=0, help="Iteration; 0 is the start.")],
    after: Annotated[int, typer.Argument(metavar="B", min=0, help="Iteration.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what changed in a loop's workspace between the ends of two iterations."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            text = await history.diff(client, loop, before, after)
        if as_json:
            at.emit({"loop": loop, "before": before, "after": after, "diff": text})
        else:
            sys.stdout.write(text)

    perform(at, work())


@app.command()
def fork(
    loop: LoopArgument,
    at_iteration: Annotated[
        int, typer.Option("--at-iteration", min=0, help="Go on from the end of this one; 0: anew.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the goal: budget.iterations=9"),
    ] = None,
    new_id: Annotated[str | None, typer.Option("--id", help="The new loop's id, a ULID.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a new loop from a loop's workspace and history after an iteration."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            new = await history.fork(
                client, loop, at_iteration, assignments=assignments or (), new_id=new_id
            )
            watch = command(f"watch {new}", at.place)
            if detach and as_json:
                at.emit({"loop": new, "watch": watch})
            elif detach:
                out.print(f"Forked {new}. Watch it with: {watch}")
            if detach:
                return
            last = await follow(at, client, new, cancel=True)
        finish(at, last)

    perform(at, work())
