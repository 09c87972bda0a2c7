"""The local runtime: up, down, doctor."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from loopwright.connection import Connection
from loopwright.errors import LoopwrightError
from loopwright_cli.runtime import servers
from loopwright_cli.runtime.layout import answers
from loopwright_cli.runtime.looks import bus_fault, place_of, store_fault
from loopwright_cli.runtime.places import Place, Runtime, find
from loopwright_cli.runtime.supervisor import Supervisor, stop
from loopwright_cli.session import (
    INFRASTRUCTURE,
    DataOption,
    JsonOption,
    command,
    err,
    fail,
    out,
    session,
    start_detached,
)

app = typer.Typer()


@app.command()
def up(
    executors: Annotated[int, typer.Option(min=1, max=64, help="Executor processes.")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is up.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the bus, the store and the services on this machine; Ctrl-C stops them."""
    at = session(data, as_json)

    def ready(runtime: Runtime) -> None:
        if as_json:
            at.emit({"pid": runtime.pid, "nats_url": runtime.nats_url, "data": str(at.place.root)})
        else:
            _say_up(at.place, runtime)

    try:
        if detach:
            ready(start_detached(at.place, executors))
            return
        supervisor = Supervisor(at.place, executors, say=lambda text: err.print(text, markup=False))
        asyncio.run(supervisor.run(ready))
    except OSError as error:
        fail(at, LoopwrightError(f"{at.place.root}: {error.strerror or error}"))
    except LoopwrightError as error:
        fail(at, error)


def _say_up(place: Place, runtime: Runtime) -> None:
    out.print(f"[bold green]up[/]  process {runtime.pid}")
    out.print(f"  bus    {runtime.nats_url}", markup=False)
    out.print(f"  data   {place.root}", markup=False)
    out.print(f"  logs   {place.logs}", markup=False)
    out.print(f"  stop   {command('down', place)}", markup=False)


@app.command()
def down(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stop the local runtime; nothing that was accepted is lost."""
    at = session(data, as_json)
    try:
        was_up = stop(at.place)
    except LoopwrightError as error:
        fail(at, error)
    if as_json:
        at.emit({"stopped": was_up, "data": str(at.place.root)})
    else:
        out.print("Stopped." if was_up else f"Nothing was up on {at.place.root}.")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`."""

    what: str
    good: bool
    detail: str
    needed: bool = True


@app.command()
def doctor(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say what is installed, what is reachable, and which sandbox level there is."""
    at = session(data, as_json)
    findings = [
        Finding("python", True, platform.python_version()),
        Finding("loopwright", True, _version("loopwright-cli")),
        _program("git", lambda: _output(servers.git_program(), "--version")),
        _program("nats-server", lambda: _output(str(servers.nats_program()), "--version")),
        _program(
            "valkey", lambda: _output(str(servers.valkey_program()), "--version").split(" sha=")[0]
        ),
        *_sandboxes(),
        *_installation(at.place),
    ]
    if as_json:
        at.emit([{"what": f.what, "good": f.good, "detail": f.detail} for f in findings])
    else:
        for item in findings:
            mark = Text(" ok  ", style="green") if item.good else Text(" no  ", style="red")
            out.print(mark.append(f"{item.what:<14}", style="default").append(item.detail))
    if any(item.needed and not item.good for item in findings):
        raise typer.Exit(INFRASTRUCTURE)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _program(what: str, version: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, version())
    except (LoopwrightError, OSError, subprocess.SubprocessError) as error:
        return Finding(what, False, str(error))


def _output(*argv: str) -> str:
    run = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
    return (run.stdout or run.stderr).splitlines()[0]


def _sandboxes() -> list[Finding]:
    """What keeps commands in here, and what a goal's `min_isolation: bwrap` would find."""
    try:
        from loopwright.service.sandbox import BwrapSandbox, probe
    except ImportError as error:
        return [Finding("sandbox", False, f"{error}; pip install 'loopwright-cli[local]'")]
    usual, strong = asyncio.run(probe()), asyncio.run(probe(BwrapSandbox()))
    return [
        Finding("sandbox", usual.level != "none", _level(usual.level, usual.reasons)),
        Finding("bubblewrap", strong.level != "none", _level(strong.level, strong.reasons), False),
    ]


def _level(level: str, reasons: tuple[str, ...]) -> str:
    return f"{level}: {'; '.join(reasons)}" if reasons else level


def _installation(place: Place) -> list[Finding]:
    """What the commands here work with: the configured bus, else the local runtime."""
    url = os.environ.get("LOOPWRIGHT_NATS_URL")
    if not url:
        return _runtime(place)
    found = [_bus(Connection.from_env())]
    if store := os.environ.get("LOOPWRIGHT_REDIS_URL"):
        found.append(_store(store, os.environ.get("LOOPWRIGHT_REDIS_PASSWORD_FILE")))
    return found


def _runtime(place: Place) -> list[Finding]:
    runtime = find(place)
    where = Finding("data folder", True, str(place.root), needed=False)
    if runtime is None:
        hint = f"not up; start it with: {command('up', place)}"
        return [where, Finding("local runtime", False, hint, needed=False)]
    bus = Connection(runtime.nats_url, runtime.nats_user, runtime.nats_password)
    probes = [
        Finding(name, answers(f"{url}/readyz"), f"{url}/readyz")
        for name, url in runtime.probes.items()
    ]
    up = Finding("local runtime", True, f"process {runtime.pid}")
    return [where, up, _bus(bus), _store(runtime.redis_url), *probes]


def _bus(connection: Connection) -> Finding:
    fault = asyncio.run(bus_fault(connection))
    return Finding("bus", fault is None, fault or connection.url)


def _store(url: str, password_file: str | None = None) -> Finding:
    fault = asyncio.run(store_fault(url, Path(password_file) if password_file else None))
    return Finding("store", fault is None, fault or place_of(url))
