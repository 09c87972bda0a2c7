"""The supervisor over small programs: what it does when a port is taken from under it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loopwright_cli.runtime.children import Spec
from loopwright_cli.runtime.layout import Layout
from loopwright_cli.runtime.places import Place, Runtime
from loopwright_cli.runtime.supervisor import TRIES, PortTakenError, Supervisor

TAKEN = "import sys; sys.exit('bind: Address already in use')"
FINE = "import time; time.sleep(60)"


def layout(program: str) -> Layout:
    async def is_up() -> bool:
        return program == FINE

    async def nothing() -> None:
        """There are no streams to make."""

    spec = Spec("bus", (sys.executable, "-c", program), {}, is_up)
    return Layout((spec,), (), "nats://x", "u", "p", "redis://x", {}, nothing)


def supervisor(root: Path, programs: list[str]) -> Supervisor:
    place = Place(root)
    place.make()
    return Supervisor(place, layout=lambda _, __: layout(programs.pop(0)))


async def test_other_ports_are_chosen_when_one_was_taken_meanwhile(tmp_path: Path) -> None:
    here = supervisor(tmp_path, [TAKEN, TAKEN, FINE])
    ready: list[Runtime] = []

    def on_ready(runtime: Runtime) -> None:
        ready.append(runtime)
        here.stopping.set()

    await here.run(on_ready)
    assert len(ready) == 1
    assert len(here.children) == 1


async def test_a_port_that_is_always_taken_is_said(tmp_path: Path) -> None:
    with pytest.raises(PortTakenError, match="Address already in use"):
        await supervisor(tmp_path, [TAKEN] * TRIES).run(lambda _: None)
