"""Circuit breakers: which dependency is down, since when and why; opened and closed by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from loopwright.breaker import Breaker
from loopwright_cli.render import BAD, GOOD, WARN
from loopwright_cli.session import DataOption, JsonOption, Session, ask, out, session

app = typer.Typer(help="Circuit breakers of models, tools and servers.", no_args_is_help=True)

DependencyArgument = Annotated[
    str, typer.Argument(metavar="DEPENDENCY", help="As llm:gpt-4o-mini, tool:http or mcp:github.")
]
WhyOption = Annotated[str, typer.Option("--reason", help="Why, for those who read it.")]
_STYLES = {"closed": GOOD, "half_open": WARN, "open": BAD}


@app.command()
def ls(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List every breaker that has counted a failure or was moved by hand."""
    at = session(data, as_json)

    found = ask(at, lambda client: client.breakers.ls())
    if as_json:
        at.emit([breaker.model_dump(mode="json") for breaker in found])
    elif found:
        out.print(_table(found))
    else:
        out.print("No dependency has failed.")


def _table(breakers: list[Breaker]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("dependency", "state", "since", "until", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for item in breakers:
        state = Text(item.state.replace("_", "-"), style=_STYLES[item.state])
        until = item.until or (item.probe.deadline if item.probe else item.throttled_until)
        since = item.changed_at.isoformat()[:19] if item.changed_at else ""
        shown = until.isoformat()[:19] if until else ""
        table.add_row(item.dependency, state, since, shown, Text(item.cause))
    return table


@app.command("open")
def open_(
    dependency: DependencyArgument,
    reason: WhyOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make no more calls to a dependency until `close`; the loops that need it wait."""
    at = session(data, as_json)

    _say(at, ask(at, lambda client: client.breakers.open(dependency, reason)))


@app.command()
def close(
    dependency: DependencyArgument,
    reason: WhyOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let every call through again; the loops that wait go on at once."""
    at = session(data, as_json)

    _say(at, ask(at, lambda client: client.breakers.close(dependency, reason)))


def _say(at: Session, breaker: Breaker) -> None:
    if at.as_json:
        at.emit(breaker.model_dump(mode="json"))
    else:
        out.print(Text(f"{breaker.dependency} is {breaker.state}: {breaker.cause}"))
