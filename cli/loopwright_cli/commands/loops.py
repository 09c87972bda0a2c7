"""Loops: list, look at, follow, check, fetch."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from loopwright.audit import Head
from loopwright.client import Client, Recorded, RefusedError
from loopwright.control import Nudge
from loopwright.errors import BusUnavailableError
from loopwright.events import EventData, LoopAdmitted, LoopHeld
from loopwright.history import verdicts
from loopwright.loop import Loop
from loopwright.plan import Outcome
from loopwright.views import LoopView, view
from loopwright_cli.asked import asked
from loopwright_cli.follow import finish, follow
from loopwright_cli.render import (
    checks_table,
    counted,
    forecast,
    heading,
    iteration_line,
    loops_table,
    outcome,
    seconds,
    spent,
    usd,
)
from loopwright_cli.session import (
    INFRASTRUCTURE,
    DataOption,
    JsonOption,
    LoopArgument,
    Session,
    err,
    misused,
    out,
    perform,
    session,
)
from loopwright_cli.trees import family, forest
from loopwright_cli.turning import distance, turns, turns_table

app = typer.Typer()


@app.command()
def ls(
    state: Annotated[str | None, typer.Option(help="Only loops in this state.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's loops.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    tree: Annotated[
        bool, typer.Option("--tree", help="Loops below the loop that started them.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List loops, the newest first."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            views = await client.loops(tenant=tenant, state=state, limit=limit)
        if as_json:
            at.emit([item.model_dump(mode="json", exclude_none=True) for item in views])
        elif views and tree:
            for item in forest(views):
                out.print(item)
        elif views:
            out.print(loops_table(views))
        else:
            out.print("No loops yet. Start one with: loopwright run GOAL.yaml")

    perform(at, work())


@app.command()
def show(
    loop: LoopArgument,
    checks: Annotated[
        bool, typer.Option("--checks", help="How each check turned, iteration by iteration.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one loop: its iterations, its checks, what it spent."""
    at = session(data, as_json)
    if checks:
        perform(at, _show_checks(at, loop))
        return

    async def work() -> None:
        async with at.client() as client:
            state = await client.fold(loop)
            below = [] if as_json else await _below(client, view(state))
        if as_json:
            at.emit(view(state).model_dump(mode="json", exclude_none=True))
            return
        say_loop(state)
        if (tree := family(view(state), below)) is not None:
            out.print()
            out.print(tree)

    perform(at, work())


async def _show_checks(at: Session, loop: str) -> None:
    async with at.client() as client:
        judged = await verdicts(client, loop)
    if at.as_json:
        at.emit({"loop": loop, "checks": turns(judged)})
    elif judged:
        out.print(turns_table(judged))
    else:
        out.print("Nothing was judged yet.")


async def _below(client: Client, seen: LoopView) -> list[LoopView]:
    """The loops below a loop, on every level, those that have begun."""
    found: list[LoopView] = []
    for child in seen.children:
        if await client.tip(child.loop):
            one = view(await client.fold(child.loop))
            found += [one, *await _below(client, one)]
    return found


def say_loop(state: Loop) -> None:
    """Print one loop for people."""
    seen = view(state)
    out.print(Text(f"{seen.name}  {seen.loop}  ", style="bold").append(outcome(seen)))
    if seen.detail:
        out.print(Text(seen.detail))
    if (brief := asked(seen)) is not None:
        out.print(brief)
    out.print(Text(spent(seen), style="dim"))
    if behind := distance(seen):
        out.print(Text(behind, style="dim"))
    if expected := forecast(seen):
        out.print(Text(expected, style="dim"))
    out.print()
    if seen.history:
        out.print(heading())
    for item in seen.history:
        out.print(iteration_line(item), soft_wrap=True)
    if seen.checks:
        out.print()
        out.print(checks_table(state))
    for check in seen.checks:
        if check.status != "passed" and check.excerpt:
            out.print(Text(f"\n{check.name}:", style="bold"))
            out.print(Text(check.excerpt, style="dim"))


@app.command()
def watch(
    loop: LoopArgument,
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay while the loop waits for a person.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a loop to its end, or until it waits for a person; Ctrl-C leaves it to itself."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            await client.fold(loop)
            last = await follow(at, client, loop, cancel=False, stay=stay)
        finish(at, last)

    perform(at, work())


@app.command()
def log(loop: LoopArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Print a loop's log; with --json one event a line, as it is stored."""
    at = session(data, as_json)

    async def work() -> None:
        async with at.client() as client:
            await client.fold(loop)
            async for item in client.events(loop, follow=False):
                if as_json:
                    sys.stdout.write(item.event.encode().decode() + "\n")
                else:
                    out.print(_event_line(item), soft_wrap=True)

    perform(at, work())


def _event_line(item: Recorded) -> Text:
    event = item.event
    data = event.data
    line = Text(f"{event.n:>4}  {event.time:%H:%M:%S}.{event.time.microsecond // 1000:03}  ")
    line.append(f"{data.kind:<24}", style="bold")
    if data.settles is not None:
        settles = data.settles
        good = settles.status == "done"
        line.append(f"{settles.role} {settles.status}", style="green" if good else "red")
        if settles.charged.tokens or settles.charged.cost_microusd:
            line.append(f" {settles.charged.tokens} tok {usd(settles.charged.cost_microusd)}")
        if settles.error is not None:
            line.append(f"  {settles.error.kind}: {settles.error.message}", style="red")
    line.append(told(data))
    grant = getattr(data, "grant", None)
    if grant is not None:
        line.append(f"  → iteration {grant.iteration}, attempt {grant.attempt}", style="dim")
    if data.kind == "loop_ended":
        line.append(f"  {data.outcome} ({data.reason}) after {seconds(data.duration_s)}")
    return line


def told(data: EventData) -> str:
    """What a person would ask of an event: whose loop, which words, why it waits, what failed."""
    said = []
    if isinstance(data, LoopAdmitted):
        said.append(data.goal.name)
    if (word := data.control) is not None:
        text = word.hint if isinstance(word, Nudge) else word.reason
        said.append(f"{word.kind}: {text}" if text else word.kind)
    if isinstance(data, LoopHeld):
        said.append(": ".join(part for part in (data.hold, data.detail) if part))
    done = getattr(data, "execution", None) or getattr(data, "outcome", None)
    if isinstance(done, Outcome) and data.settles and data.settles.role == "executor":
        failed = sum(item.status == "failed" for item in done.actions)
        said += [f"{counted(failed, 'action')} failed"] if failed else []
    return "".join(f"  {' '.join(part.split())}" for part in said)


@app.command("verify-log")
def verify_log(
    loop: Annotated[str | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every loop of the log.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check logs: hash chain, gaps, budgets, one end, and the end that the projections saw.

    Exit code 1 if anything is wrong.
    """
    at = session(data, as_json)
    if (loop is None) == (not every):
        misused(at, "Name a loop, or give --all.")

    async def work() -> tuple[dict[str, list[str]], int | None]:
        async with at.client() as client:
            heads = await _heads(client, loop)  # first: a log only grows
            seen = heads or {}
            ids = sorted({*await client.loop_ids(), *seen}) if every else [loop or ""]
            found = {item: await client.audit(item, seen.get(item, ())) for item in ids}
            return found, None if heads is None else sum(item in seen for item in ids)

    found, compared = perform(at, work())
    _say_audit(at, found, compared)
    if any(found.values()):
        raise typer.Exit(INFRASTRUCTURE)


async def _heads(client: Client, loop: str | None) -> dict[str, list[Head]] | None:
    """Where the projections saw each log end; None where they cannot be asked."""
    try:
        return await client.heads(loop)
    except (BusUnavailableError, RefusedError):
        return None


def _say_audit(at: Session, found: dict[str, list[str]], compared: int | None) -> None:
    violations = sum(map(len, found.values()))
    if at.as_json:
        sums = {"loops": len(found), "heads": compared, "violations": violations}
        at.emit({**sums, "found": found})
        return
    if compared is None:
        err.print("The state service does not answer, so an end that is cut off does not show.")
    for loop, sentences in found.items():
        for sentence in sentences:
            out.print(Text(f"{loop}  {sentence}", style="red"))
    style = "red" if violations else "green"
    said = f"{counted(len(found), 'loop')}, {counted(violations, 'violation')}"
    out.print(Text(said, style=style))
