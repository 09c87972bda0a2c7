"""Tenants: what each may spend and run, and what it has spent."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from loopwright.tenant import Tenant
from loopwright_cli.render import usd
from loopwright_cli.session import DataOption, JsonOption, Session, ask, out, session

app = typer.Typer(help="What each tenant may spend and run.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]
Dollars = Annotated[float | None, typer.Option(min=0, help="Dollars.", show_default=False)]
Count = Annotated[int | None, typer.Option(min=0, show_default=False)]


@app.command()
def ls(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the tenants that have a quota."""
    at = session(data, as_json)

    found = ask(at, lambda client: client.tenants.ls())
    if as_json:
        at.emit([tenant.model_dump(mode="json") for tenant in found])
    elif found:
        out.print(_table(found))
    else:
        out.print("No tenant has a quota.")


@app.command()
def show(name: NameArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a tenant's quota, its leases and what it has spent."""
    at = session(data, as_json)

    _say(at, ask(at, lambda client: client.tenants.show(name)))


@app.command("set")
def set_(
    name: NameArgument,
    usd_day: Dollars = None,
    usd_month: Dollars = None,
    usd_total: Dollars = None,
    tokens_day: Count = None,
    tokens_month: Count = None,
    tokens_total: Count = None,
    loops: Annotated[int | None, typer.Option(help="At once.", show_default=False)] = None,
    per_minute: Annotated[
        int | None, typer.Option(help="Goals admitted a minute.", show_default=False)
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget the quota first.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a tenant's quota; what is not named stays as it is."""
    at = session(data, as_json)
    dollars = {"usd_day": usd_day, "usd_month": usd_month, "usd_total": usd_total}
    counts = {
        "tokens_day": tokens_day,
        "tokens_month": tokens_month,
        "tokens_total": tokens_total,
        "loops": loops,
        "per_minute": per_minute,
    }
    changes: dict[str, str | int] = {k: f"{v}" for k, v in dollars.items() if v is not None}
    changes |= {k: v for k, v in counts.items() if v is not None}

    _say(at, ask(at, lambda client: client.tenants.set(name, changes, clear=clear)))


def _say(at: Session, tenant: Tenant) -> None:
    if at.as_json:
        at.emit(tenant.model_dump(mode="json"))
        return
    out.print(_table([tenant]))
    for name, value in tenant.quota.model_dump(exclude_none=True).items():
        out.print(Text(f"{name.replace('_', ' ')}: {value}"))


def _table(tenants: list[Tenant]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("tenant", "loops", "leased", "newest day", "newest month", "in all"):
        table.add_column(name, no_wrap=True)
    for item in tenants:
        amounts = (item.leased, item.day.spent, item.month.spent, item.total)
        shown = [f"{usd(amount.cost_microusd)}, {amount.tokens} tok" for amount in amounts]
        table.add_row(item.tenant, str(len(item.leases)), *shown)
    return table
