"""What loops have learned: search it, look at it, have it forgotten."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from loopwright.client import NotFoundError
from loopwright.memory import Recalled
from loopwright.remembered import Remembered
from loopwright_cli.render import short
from loopwright_cli.session import DataOption, JsonOption, Session, out, perform, session

app = typer.Typer(help="What loops have learned: facts and lessons.", no_args_is_help=True)

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose memories.")]
MemoryArgument = Annotated[str, typer.Argument(metavar="ID", help="The memory's id.")]
#: Of a memory's text in a list, in characters.
LINE_CHARS = 160


@app.command("ls")
def ls(
    kind: Annotated[str | None, typer.Option(help="Only this kind: fact or lesson.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List memories, the newest first."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            found = await Remembered(client, tenant).ls(kind=kind, tag=tag, limit=limit)
        _say(at, found, "Nothing is remembered yet; loops remember when they end.")

    perform(at, work())


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="So many at most.")] = 5,
    loop: Annotated[
        str | None, typer.Option("--loop", help="In what this loop has done, not in memories.")
    ] = None,
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the memories that fit a text best, as a planner would be told them."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            found = await Remembered(client, tenant).search(text, k, loop=loop)
        _say(at, found, "Nothing fits.")

    perform(at, work())


@app.command()
def show(
    memory: MemoryArgument,
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one memory, where it comes from and how much it is believed."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            found = await Remembered(client, tenant).get(memory)
        if found is None:
            raise NotFoundError(f"there is no memory {memory}; list them: loopwright memory ls")
        if as_json:
            at.emit(found.model_dump(mode="json", exclude_none=True))
        else:
            _show(found)

    perform(at, work())


@app.command()
def forget(
    memories: Annotated[list[str], typer.Argument(metavar="ID…", help="The memories' ids.")],
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget memories for good: their texts go, and they are not learned again."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            for memory in memories:
                await Remembered(client, tenant).forget(memory)
        if as_json:
            at.emit({"forgotten": memories})
        else:
            out.print(f"Forgot {', '.join(memories)}.")

    perform(at, work())


def _say(at: Session, found: list[Recalled], nothing: str) -> None:
    if at.as_json:
        at.emit([item.model_dump(mode="json", exclude_none=True) for item in found])
    elif not found:
        out.print(nothing)
    else:
        table = Table(box=None, pad_edge=False)
        for name in ("id", "believed", "text"):
            table.add_column(name, overflow="fold")
        for item in found:
            text = " ".join(item.text.split())
            table.add_row(item.id, f"{item.confidence:.1f}", Text(short(text, LINE_CHARS)))
        out.print(table)


def _show(item: Recalled) -> None:
    out.print(Text(f"{item.id}  {item.kind}", style="bold"))
    out.print(Text(item.text))
    ended = f", which ended {item.outcome}" if item.outcome else ""
    out.print(Text(f"from loop {item.loop}, iteration {item.iteration}{ended}", style="dim"))
    until = f"{item.expires_at:%Y-%m-%d}" if item.expires_at else "for ever"
    out.print(Text(f"believed {item.confidence:.1f}, kept until {until}", style="dim"))
    if item.tags:
        out.print(Text(f"tags: {', '.join(item.tags)}", style="dim"))
