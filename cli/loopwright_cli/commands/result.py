"""A loop's best work: as files, as a patch, or as a branch of somebody's own repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loopwright.loop import Loop
from loopwright.workspace.branches import make_branch
from loopwright_cli.session import (
    DataOption,
    JsonOption,
    LoopArgument,
    misused,
    out,
    perform,
    session,
)

app = typer.Typer()


@app.command()
def result(
    loop: LoopArgument,
    to: Annotated[Path | None, typer.Option(help="Write the files to this new folder.")] = None,
    patch: Annotated[bool, typer.Option("--patch", help="Print the work as a patch.")] = False,
    branch: Annotated[str | None, typer.Option(help="Make this new branch of --repo.")] = None,
    repo: Annotated[Path, typer.Option(help="The git repository for --branch.")] = Path(),
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a loop's best work: as files, as a patch, or as a branch."""
    at = session(data, as_json)
    if sum((to is not None, patch, branch is not None)) != 1:
        misused(at, "Give --to DIR for the files, --patch, or --branch NAME.")

    async def work() -> dict[str, Any]:
        async with at.client() as client:
            if to is not None:
                return {"revision": await client.export(loop, to), "folder": str(to)}
            made = await client.patch(loop)
            if branch is None:
                return {"patch": made.decode(errors="replace")}
            message = _message(await client.fold(loop))
            return {"branch": branch, "commit": make_branch(repo, branch, made, message)}

    done = perform(at, work())
    if as_json:
        at.emit({"loop": loop, **done})
    elif patch:
        sys.stdout.write(done["patch"])
    elif to is not None:
        out.print(f"Wrote revision {done['revision'][:12]} to {to}")
    else:
        out.print(f"Made branch {branch} at {done['commit'][:12]}; nothing is checked out")


def _message(state: Loop) -> str:
    return (
        f"{state.goal.name}\n\n{state.goal.objective.strip()}\n\nLoop: {state.id} ({state.state})\n"
    )
