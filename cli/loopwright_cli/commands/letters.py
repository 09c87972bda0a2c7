"""Dead letters: what could not be handled, with its reason."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from loopwright.letters import Letter
from loopwright_cli.session import DataOption, JsonOption, ask, out, perform, session

app = typer.Typer(help="What could not be handled, with its reason.", no_args_is_help=True)

#: How much of a reason a list shows.
LIST_CHARS = 120

SeqArgument = Annotated[int, typer.Argument(metavar="N", help="Its number.", min=1)]
SeqsArgument = Annotated[list[int], typer.Argument(metavar="N...", help="Their numbers.", min=1)]


@app.command()
def ls(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest dead letters."""
    at = session(data, as_json)

    found = ask(at, lambda client: client.letters.ls(limit))
    if as_json:
        at.emit([letter.model_dump(mode="json", exclude={"body_base64"}) for letter in found])
    elif found:
        out.print(_table(found))
    else:
        out.print("No dead letters.")


def _table(letters: list[Letter]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("n", "time", "subject", "why"):
        table.add_column(name, no_wrap=name in ("n", "time"), overflow="fold")
    for letter in letters:
        table.add_row(
            str(letter.seq), letter.time[:19], letter.subject, Text(_start(letter.reason))
        )
    return table


def _start(reason: str) -> str:
    """What a list has room for; `show` has the rest."""
    return reason if len(reason) <= LIST_CHARS else reason[: LIST_CHARS - 1] + "…"


@app.command()
def show(seq: SeqArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one dead letter with its headers and its body."""
    at = session(data, as_json)

    letter = ask(at, lambda client: client.letters.show(seq))
    if as_json:
        at.emit(letter.model_dump(mode="json"))
        return
    out.print(Text(f"{letter.seq}  {letter.subject}  {letter.time[:19]}", style="bold"))
    out.print(Text(letter.reason))
    for name, value in letter.headers.items():
        out.print(Text(f"{name}: {value}", style="dim"))
    out.print(Text(letter.body.decode("utf-8", "replace")), soft_wrap=True)


@app.command()
def retry(seqs: SeqsArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Send goals or control messages once more, for example after an upgrade."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            for seq in seqs:
                letter = await client.letters.retry(seq)
                _said(seq, f"sent to {letter.subject} again")

    def _said(seq: int, what: str) -> None:
        at.emit({"letter": seq, "done": what}) if as_json else out.print(f"{seq}  {what}")

    perform(at, work())


@app.command()
def drop(seqs: SeqsArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Forget dead letters."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            for seq in seqs:
                await client.letters.drop(seq)

    perform(at, work())
    at.emit({"dropped": seqs}) if as_json else out.print(f"{len(seqs)} dropped")
