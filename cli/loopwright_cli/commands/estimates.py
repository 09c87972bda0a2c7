"""What a goal will take, said before it runs."""

from __future__ import annotations

import typer
from rich.table import Table

from loopwright.errors import LoopwrightError
from loopwright.estimate import Estimate, estimate, like
from loopwright.files import read_goal
from loopwright.forecast import Range
from loopwright.goal import Goal, OpenAI
from loopwright.views import LoopView
from loopwright_cli.commands.goals import GoalArgument, ModelOption, TenantOption
from loopwright_cli.prices import list_price
from loopwright_cli.render import counted, seconds, usd
from loopwright_cli.session import DataOption, JsonOption, Session, fail, out, perform, session

app = typer.Typer()

#: The newest loops among which like ones are looked for.
LOOKED_AT = 500


@app.command("estimate")
def estimate_goal(
    path: GoalArgument,
    model: ModelOption = None,
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate what a goal will take: from loops like it, else from its shape."""
    at = session(data, as_json)
    try:
        goal = read_goal(path, model=model)
    except LoopwrightError as error:
        fail(at, error)
    price = list_price(goal.planner.model) if isinstance(goal.planner, OpenAI) else None
    found = estimate(goal, price, like(goal, perform(at, _views(at, tenant))))
    if as_json:
        at.emit(found.model_dump(mode="json", exclude_none=True))
    else:
        _say(goal, found)


async def _views(at: Session, tenant: str) -> list[LoopView]:
    """The newest loops; none where no installation is up, since an estimate needs none."""
    try:
        async with at.client() as client:
            return await client.loops(tenant=tenant, limit=LOOKED_AT)
    except LoopwrightError:
        return []


def _say(goal: Goal, found: Estimate) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("", "p50", "p90", "the cap"):
        table.add_column(name, justify="left" if not name else "right")
    budget, cost = goal.budget, found.cost_microusd
    _row(table, "iterations", found.iterations, f"{budget.iterations}")
    _row(table, "tokens", found.tokens, "none" if budget.tokens is None else f"{budget.tokens}")
    cap = "none" if budget.cost_microusd is None else usd(budget.cost_microusd)
    if cost is None:
        table.add_row("dollars", "the model's price is not known", "", cap)
    else:
        table.add_row("dollars", usd(round(cost.p50)), usd(round(cost.p90)), cap)
    time = found.time_s
    table.add_row("time", seconds(time.p50), seconds(time.p90), seconds(budget.time))
    out.print(table)
    if found.source == "history":
        out.print(f"From {counted(found.like, 'ended loop')} like it.", style="dim")
    else:
        known = f"Too few loops like it have ended: {found.like}." if found.like else ""
        out.print(f"From the goal's shape. {known}".strip(), style="dim")


def _row(table: Table, name: str, item: Range, cap: str) -> None:
    table.add_row(name, f"{item.p50:.0f}", f"{item.p90:.0f}", cap)
