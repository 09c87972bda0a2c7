"""Backups of an installation with servers of its own."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.client import Client as Nats

from loopwright.backup import Copied, restore, save
from loopwright.errors import LoopwrightError
from loopwright_cli.render import counted
from loopwright_cli.session import DataOption, JsonOption, Session, ask, fail, out, session

app = typer.Typer()

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The backup's folder.")]


@app.command()
def backup(folder: FolderArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Copy every stream of the bus into a folder, while it runs; needs the key of `admin`."""
    at = session(data, as_json)
    _say(at, "saved", _asked(at, folder, save))


@app.command("restore")
def restore_(folder: FolderArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Put a backup into an empty bus, before its services start; needs the key of `admin`."""
    at = session(data, as_json)
    _say(at, "restored", _asked(at, folder, restore))


def _asked(
    at: Session, folder: Path, work: Callable[[Nats, Path], Awaitable[list[Copied]]]
) -> list[Copied]:
    if not os.environ.get("LOOPWRIGHT_NATS_URL"):
        fail(
            at,
            LoopwrightError(
                "LOOPWRIGHT_NATS_URL is not set. A local runtime is backed up by a copy of its "
                f"data folder while it is down: loopwright down, then: cp -a {at.place.root} COPY"
            ),
        )
    return ask(at, lambda client: work(client.nc, folder))


def _say(at: Session, what: str, copied: list[Copied]) -> None:
    if at.as_json:
        at.emit({what: [{"stream": item.stream, "messages": item.messages} for item in copied]})
        return
    for item in copied:
        out.print(f"{what} {item.stream:<14} {counted(item.messages, 'message')}", markup=False)
