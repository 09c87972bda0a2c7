"""What a person needs to decide on, where a loop waits for them."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from loopwright.events import Brief
from loopwright.views import LoopView
from loopwright_cli.render import BAD, DIM, GOOD, usd

#: Changed paths in one list.
PATHS = 12
_SIGNS = {"added": "+", "modified": "~", "deleted": "-"}


def asked(view: LoopView) -> Table | None:
    """The questions, the plan, the checks, what changed and what was spent; nothing otherwise."""
    wanted = view.held.wanted if view.held else None
    if wanted is None or wanted.brief is None:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _rows(wanted.brief):
        grid.add_row(label, text)
    return grid


def _rows(brief: Brief) -> list[tuple[str, Text]]:
    rows = [("question", Text(text)) for text in brief.questions]
    if brief.summary:
        rows.append(("plan", Text(brief.summary)))
    if brief.passed:
        rows.append(("pass", Text(", ".join(brief.passed), style=GOOD)))
    if brief.failed:
        rows.append(("fail", Text(", ".join(brief.failed), style=BAD)))
    shown = [f"{_SIGNS[change.kind]} {change.path}" for change in brief.changes[:PATHS]]
    if left_out := brief.changed_paths - len(shown):
        shown.append(f"and {left_out} paths more")
    if shown:
        rows.append(("changes", Text("\n".join(shown))))
    tokens, cost = brief.spent.tokens, brief.spent.cost_microusd
    money = f", {tokens} tokens, {usd(cost)}" if tokens or cost else ""
    rows.append(
        ("spent", Text(f"{brief.iteration} iterations, {brief.spent.actions} actions{money}"))
    )
    return rows
