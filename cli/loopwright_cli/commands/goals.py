"""Goals: write one, check one, run one."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from loopwright.contract import goal_schema, text_of
from loopwright.errors import GoalInvalidError, LoopwrightError
from loopwright.files import read_goal
from loopwright.goal import Goal
from loopwright_cli.follow import finish, follow
from loopwright_cli.recordings import insert
from loopwright_cli.render import counted
from loopwright_cli.session import (
    DataOption,
    JsonOption,
    Session,
    command,
    fail,
    misused,
    out,
    perform,
    session,
)

app = typer.Typer()

GoalArgument = Annotated[Path, typer.Argument(metavar="GOAL.yaml", help="The goal file.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Plan with this model instead of the goal's.")
]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose goal it is.")]

#: Kinds of work that `init` has a template for.
KINDS = ("data", "code", "command")
#: Written beside a goal by `init`, so that editors find it wherever the goal is.
SCHEMA_FILE = "goal.schema.json"


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="[GOAL.yaml]")] = Path("goal.yaml"),
    kind: Annotated[str, typer.Option(help=f"Kind of work: {', '.join(KINDS)}.")] = "command",
    as_json: JsonOption = False,
) -> None:
    """Write a commented goal file to begin with."""
    at = session(None, as_json)
    if kind not in KINDS:
        known = ", ".join(KINDS)
        misused(at, f"'{kind}' is no kind of work; there are: {known}")
    if path.exists():
        misused(at, f"{path} exists already; name another file")
    template = resources.files("loopwright_cli") / "templates" / f"{kind}.yaml"
    schema = path.with_name(SCHEMA_FILE)
    if not schema.exists():
        schema.write_text(text_of(goal_schema()), encoding="utf-8")
    head = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
    path.write_text(head + template.read_text(encoding="utf-8"), encoding="utf-8")
    if at.as_json:
        at.emit({"written": str(path), "schema": str(schema), "kind": kind})
    else:
        out.print(f"Wrote {path}. Change it, then: loopwright run {path}")


@app.command()
def schema(as_json: JsonOption = False) -> None:
    """Print the JSON schema of goals, for editors; with --json on one line."""
    if as_json:
        session(None, as_json).emit(goal_schema())
    else:
        sys.stdout.write(text_of(goal_schema()))


@app.command()
def validate(path: GoalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check a goal file and name every fault with its line."""
    at = session(data, as_json)
    goal = _read(at, path, None)
    if as_json:
        at.emit({"valid": True, "name": goal.name, "digest": goal.digest()})
    else:
        checks = counted(len(goal.verify.checks), "check")
        out.print(f"{path} is a valid goal: {goal.name}, {checks}, {goal.planner.backend}.")


@app.command()
def run(
    path: GoalArgument,
    model: ModelOption = None,
    tenant: TenantOption = "default",
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Record what models say to this file.")
    ] = None,
    cassette: Annotated[
        Path | None, typer.Option(help="Play back what models said from this file.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a goal to its end, with live progress; starts the local runtime if nothing is up."""
    at = session(data, as_json)
    goal = _read(at, path, model)
    try:
        insert(at.place, record, cassette)
    except LoopwrightError as error:
        fail(at, error)
    perform(at, _ready(at))
    perform(at, _run(at, goal, path.parent, tenant, detach))


@app.command()
def submit(
    path: GoalArgument,
    model: ModelOption = None,
    tenant: TenantOption = "default",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a goal to an installation that is up, and return its id."""
    at = session(data, as_json)
    perform(at, _run(at, _read(at, path, model), path.parent, tenant, detach=True))


async def _ready(at: Session) -> None:
    at.ensure_up()


async def _run(at: Session, goal: Goal, base: Path, tenant: str, detach: bool) -> None:
    async with at.client() as client:
        loop = await client.submit(goal, base=base, tenant=tenant)
        if detach:
            _say_detached(at, loop)
            return
        if not at.as_json:
            out.print(f"[bold]{goal.name}[/]  {loop}")
        last = await follow(at, client, loop, cancel=True)
    finish(at, last)


def _say_detached(at: Session, loop: str) -> None:
    watch = command(f"watch {loop}", at.place)
    if at.as_json:
        at.emit({"loop": loop, "watch": watch})
    else:
        out.print(f"Submitted {loop}. Watch it with: {watch}")


def _read(at: Session, path: Path, model: str | None) -> Goal:
    try:
        return read_goal(path, model=model)
    except GoalInvalidError as error:
        fail(at, error)
