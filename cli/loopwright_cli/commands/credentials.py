"""Credentials of an installation with servers of its own: make them, change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.errors import LoopwrightError
from loopwright_cli.session import JsonOption, Session, fail, out, session

if TYPE_CHECKING:
    from loopwright_cli.credentials import Credentials

app = typer.Typer(help="Keys for the services and people of an installation.")

FolderOption = Annotated[Path, typer.Option("--dir", help="Folder of the credentials.")]


def _folder(at: Session, folder: Path) -> Credentials:
    try:
        from loopwright_cli.credentials import Credentials
    except ImportError as error:
        fail(at, LoopwrightError(f"{error}; pip install 'loopwright-cli[all]'"))
    return Credentials(folder.absolute())


def _say(at: Session, what: str, names: list[str], folder: Path) -> None:
    if at.as_json:
        at.emit({what: names, "dir": str(folder)})
        return
    for name in names:
        out.print(f"{what} {name}", markup=False)
    out.print(f"{folder / 'accounts.conf'} is for the bus: include it, then reload", markup=False)
    out.print(f"{folder / 'users.acl'} is for the store", markup=False)


@app.command()
def init(
    folder: FolderOption,
    tenant: Annotated[list[str] | None, typer.Option(help="A tenant with users.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for everyone who has none yet, and the servers' files."""
    at = session(None, as_json)
    try:
        names = _folder(at, folder).init(tenant or ())
    except LoopwrightError as error:
        fail(at, error)
    _say(at, "new", names, folder)


@app.command()
def rotate(
    folder: FolderOption,
    names: Annotated[list[str] | None, typer.Argument(help="Whose; else everyone's.")] = None,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the keys before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give new keys; the old ones are valid until --finish, so that nothing has to stop."""
    at = session(None, as_json)
    try:
        here = _folder(at, folder)
        changed = here.finish() if finish else here.rotate(names or ())
    except LoopwrightError as error:
        fail(at, error)
    _say(at, "dropped" if finish else "changed", changed, folder)
