"""What every command needs: where the installation is, and how a failure is said."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from loopwright.client import Client
from loopwright.connection import Connection
from loopwright.errors import GoalInvalidError, LoopwrightError
from loopwright_cli.runtime import servers
from loopwright_cli.runtime.places import Place, Runtime, data_folder, find, in_use

T = TypeVar("T")

#: Exit codes: done, infrastructure, invalid goal or usage, ended or held without being achieved.
OK, INFRASTRUCTURE, INVALID, NOT_ACHIEVED = 0, 1, 2, 3
UP_S = 90.0
#: Below the logs: what supervisors in the background said, one after another.
UP_LOG = "up.log"

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the local runtime.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LoopArgument = Annotated[str, typer.Argument(metavar="ID", help="The loop's id.")]


@dataclass(frozen=True, slots=True)
class Session:
    """One command's options."""

    place: Place
    as_json: bool = False

    def client(self) -> Client:
        """The configured installation, else the local runtime of the data folder."""
        if os.environ.get("LOOPWRIGHT_NATS_URL"):
            return Client(connection=Connection.from_env())
        runtime = find(self.place)
        if runtime is None:
            raise LoopwrightError(
                f"no local runtime is up on {self.place.root}, and LOOPWRIGHT_NATS_URL is not set; "
                "start one with: loopwright up"
            )
        return Client(runtime.nats_url, runtime.nats_user, runtime.nats_password)

    def emit(self, value: Any) -> None:
        """One JSON document on standard output."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def ensure_up(self) -> None:
        """Start a local runtime in the background if nothing is configured or running."""
        if os.environ.get("LOOPWRIGHT_NATS_URL"):
            return
        runtime = find(self.place)
        if runtime is not None and runtime.ready:
            return
        if not self.as_json:
            err.print(f"[dim]Starting the local runtime on {self.place.root} …[/]")
        start_detached(self.place)
        if not self.as_json:
            err.print(f"[dim]It stays up; stop it with: {command('down', self.place)}[/]")


def session(data: Path | None, as_json: bool) -> Session:
    """The options as a session."""
    return Session(Place(data_folder(data)), as_json)


def command(words: str, place: Place) -> str:
    """A command line that works as it stands, here: the program's path and --data if needed."""
    data = "" if place.root == data_folder(None) else f" --data {place.root}"
    return f"{_program()} {words}{data}"


def _program() -> str:
    """How this program can be called: by its name if that is on PATH, else by its path."""
    here = Path(sys.argv[0]).absolute()
    found = shutil.which("loopwright")
    if here.name != "loopwright" or (found and Path(found).samefile(here)):
        return "loopwright"
    return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)


def supervise(place: Place, executors: int) -> subprocess.Popen[bytes]:
    """Start the supervisor as a process of its own; what it says is added to its log."""
    argv = [sys.executable, "-m", "loopwright_cli", "up", "--data", str(place.root)]
    with (place.logs / UP_LOG).open("ab") as sink:
        return subprocess.Popen(
            [*argv, "--executors", str(executors)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def start_detached(
    place: Place,
    executors: int = 1,
    begin: Callable[[Place, int], subprocess.Popen[bytes]] = supervise,
    pause: Callable[[float], None] = sleep,
) -> Runtime:
    """The runtime of this folder once everything is up, started unless somebody else does."""
    servers.git_program()
    place.make()
    begun = (place.logs / UP_LOG).stat().st_size if (place.logs / UP_LOG).exists() else 0
    ours: subprocess.Popen[bytes] | None = None
    until = monotonic() + UP_S
    while monotonic() < until:
        runtime = find(place)
        if runtime is not None and runtime.ready:
            return runtime
        if not in_use(place):
            if ours is None:
                ours = begin(place, executors)
            elif ours.poll() is not None:
                raise LoopwrightError(_said(place, begun))
        pause(0.05)
    if ours is not None and ours.poll() is None:
        ours.terminate()
    raise LoopwrightError(
        f"the local runtime was not up within {UP_S:g} s; see {place.logs / UP_LOG}"
    )


def _said(place: Place, begun: int) -> str:
    """What supervisors have said since their log was this long, in bytes."""
    text = (place.logs / UP_LOG).read_bytes()[begun:]
    return text.decode(errors="replace").strip() or "the local runtime ended before it was up"


def perform(session: Session, work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; a failure becomes a sentence and an exit code."""
    try:
        return asyncio.run(work)
    except LoopwrightError as error:
        fail(session, error)


def ask(session: Session, question: Callable[[Client], Awaitable[T]]) -> T:
    """What one call of the client answers; a failure becomes a sentence and an exit code."""

    async def work() -> T:
        async with session.client() as client:
            return await question(client)

    return perform(session, work())


def misused(session: Session, message: str) -> NoReturn:
    """Say what is wrong with how a command was called, and leave."""
    if session.as_json:
        session.emit({"error": message})
    else:
        err.print(message, markup=False, style="red", soft_wrap=True)
    raise typer.Exit(INVALID)


def fail(session: Session, error: LoopwrightError) -> NoReturn:
    """Say what went wrong and leave with its exit code."""
    if isinstance(error, GoalInvalidError):
        if session.as_json:
            faults = [fault.model_dump(exclude_none=True) for fault in error.faults]
            session.emit({"error": "the goal is invalid", "faults": faults})
        else:
            err.print("[bold red]The goal is invalid.[/]")
            for fault in error.faults:
                err.print(f"  {fault}", markup=False, soft_wrap=True)
        raise typer.Exit(INVALID)
    if session.as_json:
        session.emit({"error": str(error)})
    else:
        err.print(str(error), markup=False, style="red", soft_wrap=True)
    raise typer.Exit(INFRASTRUCTURE)
