"""What people see: lines, tables and panels. Colour only says good, bad or unimportant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loopwright.approach import Change
from loopwright.events import IterationSummary
from loopwright.loop import Loop
from loopwright.plan import CheckResult
from loopwright.views import LoopView

GOOD, BAD, WARN, DIM = "green", "red", "yellow", "dim"
_OUTCOME_STYLE = {"achieved": f"bold {GOOD}", None: "bold"}
_WORKING = {
    "admitted": "admitted",
    "planning": "planning",
    "executing": "executing",
    "verifying": "verifying",
    "backing_off": "waiting to try again",
    "paused": "paused",
    "awaiting_approval": "waiting for approval",
    "awaiting_children": "waiting for its children",
    "blocked": "blocked",
    "budget_exhausted": "out of budget",
    "ended": "ended",
}


def usd(microusd: int) -> str:
    """Micro-dollars as dollars."""
    return f"${microusd / 1e6:.4f}" if microusd else "$0"


def seconds(value: float) -> str:
    """A duration in two units at most."""
    if value < 10:
        return f"{value:.1f}s"
    if value < 120:
        return f"{value:.0f}s"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def of(value: int | float, cap: int | float | None) -> str:
    """A value against its cap, if it has one."""
    return f"{value}" if cap is None else f"{value}/{cap}"


def share(number: int, cap: int | None, what: str) -> str:
    """A number of things against their cap, if it has one."""
    return counted(number, what) if cap is None else f"{number}/{cap} {what}s"


def counted(number: int, what: str) -> str:
    """A number of things, in the singular where there is one."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def outcome(view: LoopView) -> Text:
    """The outcome, or what the loop is doing."""
    text = view.outcome or _WORKING.get(view.state, view.state)
    style = _OUTCOME_STYLE.get(view.outcome, f"bold {BAD}")
    return Text(text, style=style)


def heading() -> Text:
    """What the columns of the iterations' lines mean."""
    return Text(
        f"{'':>3}  {'plan':<22}  {'passed':<6} score    time  checks that turned", style=DIM
    )


def iteration_line(item: IterationSummary) -> Text:
    """One permanent line about an iteration: what was done, what it came to, what it cost."""
    line = Text(f"{item.iteration:>3}  ")
    line.append(f"{short(item.rule or item.summary, 22):<22}  ")
    if item.executed:
        line.append(f"{f'{item.passed}/{item.checks}':<6}  {item.score or 0:.2f}  ")
    else:
        line.append(f"{'nothing kept':<14}", style=BAD)
    line.append(f"{seconds(item.duration_s):>6}", style=DIM)
    if item.spent.tokens:
        line.append(f"  {item.spent.tokens} tok {usd(item.spent.cost_microusd)}", style=DIM)
    _names(line, "+", item.turned_green, GOOD)
    _names(line, "-", item.turned_red, BAD)
    if item.note:
        line.append(f"  {short(item.note, 60)}", style=BAD)
    return line


def _names(line: Text, sign: str, names: Sequence[str], style: str) -> None:
    for name in names:
        line.append(f"  {sign}{name}", style=style)


def short(text: str, width: int) -> str:
    """The first line of a text, cut with an ellipsis where it is longer than this."""
    first = (text.splitlines() or [""])[0]
    return first if len(first) <= width else first[: width - 1] + "…"


def status_line(view: LoopView, now: datetime | None = None, *, written: int = 0) -> Text:
    """The moving line: where the loop is, what it has used, and what its model is writing."""
    passed = sum(check.status == "passed" for check in view.checks)
    elapsed = ((now or datetime.now(UTC)) - view.admitted_at).total_seconds()
    line = Text(f"{view.iteration:>3}/{view.caps.iterations}  ", style="bold")
    line.append(f"{_WORKING.get(view.state, view.state)}  ")
    if written:
        line.append(f"~{written} tok written  ", style=DIM)
    if view.checks:
        line.append(f"{passed} green", style=GOOD)
        line.append(f" {len(view.checks) - passed} red", style=BAD)
        line.append(f"  score {view.score or 0:.2f}  ")
    if view.caps.tokens or view.spent.tokens:
        line.append(f"{of(view.spent.tokens, view.caps.tokens)} tok  ")
    if view.caps.cost_microusd or view.spent.cost_microusd:
        cap = view.caps.cost_microusd
        line.append(usd(view.spent.cost_microusd) + (f"/{usd(cap)}" if cap else "") + "  ")
    line.append(f"{seconds(elapsed)}/{seconds(view.caps.time_s)}", style=DIM)
    return line


#: That half of a budget is used is in the log, and no news.
HALF = 50


def news(before: LoopView | None, now: LoopView) -> Iterable[Text]:
    """Lines about what happened between two views beside iterations: warnings, holds, notices."""
    warned = before.warned if before else {}
    for budget, percent in now.warned.items():
        if percent > max(warned.get(budget, 0), HALF):
            yield Text(f"     {percent} % of the {budget} are used", style=WARN)
    if now.notice and now.notice != (before.notice if before else None):
        answer = "told to try otherwise" if now.notice.level == 1 else "planned otherwise now"
        yield Text(f"     stuck: {now.notice.detail}; {answer}", style=WARN)
    for change in _new_changes(before, now):
        yield Text(f"     planned otherwise: {change}", style=WARN)
    held = before.held if before else None
    if now.held and now.held.detail and (held is None or held.kind != now.held.kind):
        yield Text(f"     {_WORKING[now.state]}: {now.held.detail}", style=WARN)


def _new_changes(before: LoopView | None, now: LoopView) -> tuple[Change, ...]:
    """What changed in how the loop is planned, if that is news."""
    if now.approach is None or now.approach == (before.approach if before else None):
        return ()
    return now.approach.changes


def verdict_word(check: CheckResult, state: Loop) -> Text:
    """A check's verdict; what need not pass is called so, and a person's word is no failure."""
    if check.status == "passed":
        return Text(check.status, style=GOOD)
    kinds = {item.name: item.kind for item in state.goal.verify.checks}
    if kinds.get(check.name) == "approval":
        if state.ended is None:
            return Text("waiting", style=WARN)
        agreed = state.ended == "achieved"
        return Text("agreed", style=GOOD) if agreed else Text("not agreed", style=BAD)
    if check.name in state.goal.required_checks:
        return Text(check.status, style=BAD)
    return Text(f"{check.status} (advisory)", style=WARN)


def checks_table(state: Loop) -> Table:
    """Each check of the newest verdict with what came out and why."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("why", overflow="fold")
    for check in state.verdict.checks if state.verdict else ():
        table.add_row(check.name, verdict_word(check, state), Text(check.message))
    return table


def look_next(commands: Sequence[str]) -> Text:
    """Commands to copy, one a line; whoever prints them must not wrap them."""
    return Text("look next:").append("".join(f"\n  {item}" for item in commands))


def ending(view: LoopView) -> Panel:
    """The last panel of a run: what came out, and why."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    # A hold's reason is what the loop will end with if nobody answers, no news while it waits.
    reason = view.reason
    why = f"  ({reason.replace('_', ' ')})" if reason else ""
    grid.add_row("outcome" if view.outcome else "held", outcome(view).append(why, style=DIM))
    grid.add_row("because", Text(view.detail))
    if view.best is not None:
        best = view.best
        passed = f"{best.passed}/{best.checks} checks, score {best.score:.2f}"
        grid.add_row("best", f"iteration {best.iteration}, {passed}")
    grid.add_row("spent", spent(view))
    if view.revision:
        grid.add_row("revision", view.revision[:12])
    return Panel(grid, title=f"{view.name}  {view.loop}", title_align="left", box=ROUNDED)


def spent(view: LoopView) -> str:
    """What a loop has used, against its caps."""
    parts = [share(view.iteration, view.caps.iterations, "iteration")]
    if view.spent.actions:
        parts.append(share(view.spent.actions, view.caps.actions, "action"))
    if view.spent.tokens or view.caps.tokens:
        parts.append(f"{of(view.spent.tokens, view.caps.tokens)} tokens")
    if view.spent.cost_microusd:
        parts.append(usd(view.spent.cost_microusd))
    parts.append(seconds(view.duration_s))
    if view.estimated:
        parts.append(f"{view.estimated} charged in full, the real usage unknown")
    if view.warned and view.outcome is None:
        parts.append("warned: " + ", ".join(f"{k} {v} %" for k, v in view.warned.items()))
    if view.overruns:
        parts.append(counted(view.overruns, "overrun"))
    return ", ".join(parts)


def forecast(view: LoopView) -> str | None:
    """What a running loop is expected to have used in the end: as likely as not, and at most."""
    made = view.forecast
    if made is None or view.outcome is not None:
        return None
    parts = [f"{made.iterations.p50:.0f} iterations (at most {made.iterations.p90:.0f})"]
    if made.tokens.p90:
        parts.append(f"{made.tokens.p50:.0f} tokens ({made.tokens.p90:.0f})")
    if made.cost_microusd.p90:
        dollars = usd(round(made.cost_microusd.p50)), usd(round(made.cost_microusd.p90))
        parts.append(f"{dollars[0]} ({dollars[1]})")
    parts.append(f"{seconds(made.time_s.p50)} ({seconds(made.time_s.p90)})")
    return "expected in the end: " + ", ".join(parts)


def loops_table(views: Sequence[LoopView]) -> Table:
    """A list of loops, the newest first; what no loop has spent takes no room.

    Where it gets narrow the goal's name is cut first: the other columns are not.
    """
    spenders = any(item.spent.tokens or item.spent.cost_microusd for item in views)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("loop", no_wrap=True, min_width=26)
    table.add_column("goal", max_width=24)
    table.add_column("state", no_wrap=not spenders, min_width=12)
    table.add_column("iteration", no_wrap=True, min_width=5)
    table.add_column("score", no_wrap=True, min_width=5)
    table.add_column("time", no_wrap=True, min_width=6)
    if spenders:
        table.add_column("spent", no_wrap=True)
    for item in views:
        money = f"{item.spent.tokens} tok {usd(item.spent.cost_microusd)}"
        table.add_row(
            item.loop,
            Text(item.name, no_wrap=True, overflow="ellipsis"),
            outcome(item),
            of(item.iteration, item.caps.iterations),
            "" if item.best is None else f"{item.best.score:.2f}",
            seconds(item.duration_s),
            *([money] if spenders else []),
        )
    return table
