"""What is measured: the product with every feature on, the bare shape, the bare bus."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nats
from nats.aio.client import Client

from benchmarks.bare import ROLES, Message, declare
from benchmarks.processes import Program, running
from loopwright import subjects
from loopwright.goal import Goal
from loopwright.ids import new_loop_id
from loopwright.testing import playbook_goal
from servers import nats_server, valkey_server

ROOT = Path(__file__).parents[1]
#: K survives `kill -9`; F syncs to the disk before each acknowledgement.
Mode = Literal["K", "F"]
Name = Literal["product", "shape", "ring"]
#: A loop may take this long, in seconds.
LOOP_S = 3600
#: Steps that a worker of the product does at once.
SLOTS = 16


@dataclass(frozen=True, slots=True)
class System:
    """A system that is up: how to begin a loop, and the processes to count."""

    name: Name
    url: str
    nc: Client
    pids: dict[str, int]
    begin: Callable[[str, int], Awaitable[None]]
    """Begin the loop of this id with so many iterations."""
    step: str
    """Kind of the event with which an iteration begins."""


def goal(loop: str, iterations: int) -> Goal:
    """A goal whose every iteration does nothing, until its last is verified."""
    rule = {
        "name": "work",
        "when": {"start": True, "failing": ["done"]},
        "times": 1000,
        "do": [{"tool": "shell", "args": {"run": "true"}}],
    }
    return playbook_goal(
        id=loop,
        name="bench",
        planner={"backend": "playbook", "rules": [rule]},
        verify={"checks": [{"name": "done", "kind": "file", "path": "done"}]},
        budget={"iterations": iterations, "actions": iterations, "time": LOOP_S},
        stuck={"repeats": 20, "patience": 1000},
    )


@asynccontextmanager
async def up(name: Name, mode: Mode, folder: Path) -> AsyncIterator[System]:
    """A system on a bus of its own; gone in the end."""
    with ExitStack() as stack:
        bus = stack.enter_context(nats_server(folder / "nats", sync_always=mode == "F"))
        assert bus.process is not None
        pids = {"nats-server": bus.process.pid}
        if name == "product":
            store = stack.enter_context(valkey_server(folder / "valkey"))
            assert store.process is not None
            pids["valkey"] = store.process.pid
            programs = _product(folder, bus.url, store.url)
        else:
            programs = _bare(name, folder, bus.url)
        nc = await nats.connect(bus.url)
        try:
            if name != "product":
                await declare(nc)
            async with running(programs, folder / "logs") as started:
                yield _system(name, bus.url, nc, pids | started)
        finally:
            await nc.close()


def _system(name: Name, url: str, nc: Client, pids: dict[str, int]) -> System:
    js = nc.jetstream(timeout=60.0)

    async def submit(loop: str, iterations: int) -> None:
        body = goal(loop, iterations).model_dump_json(exclude_none=True, by_alias=True)
        await js.publish(subjects.goal_submitted("default"), body.encode())

    async def bare(loop: str, iterations: int) -> None:
        first = Message(loop=loop, iteration=1, n=0, prev="0" * 64, iterations=iterations)
        await js.publish(f"goal.{loop}", first.model_dump_json().encode())

    product = name == "product"
    step = "plan_requested" if product else "plan"
    return System(name, url, nc, pids, submit if product else bare, step)


def _product(folder: Path, bus: str, store: str) -> list[Program]:
    modules = {
        "coordinator": ("loopwright_coordinator",),
        "state": ("loopwright_state",),
        "planner": ("loopwright_planner",),
        "executor": ("benchmarks.worker", "executor"),
        "verifier": ("benchmarks.worker", "verifier"),
    }
    env = _environment() | {
        "LOOPWRIGHT_NATS_URL": bus,
        "LOOPWRIGHT_REDIS_URL": store,
        "LOOPWRIGHT_CACHE_DIR": str(folder / "cache"),
        "LOOPWRIGHT_SLOTS": str(SLOTS),
    }
    return [
        Program(
            name,
            (sys.executable, "-m", *argv),
            env
            | {
                "LOOPWRIGHT_REPLICA": name,
                "LOOPWRIGHT_TRACE_FILE": str(folder / "traces" / f"{name}.jsonl"),
            },
            folder / "logs" / f"{name}.log",
        )
        for name, argv in modules.items()
    ]


def _bare(name: Name, folder: Path, bus: str) -> list[Program]:
    parts = ROLES if name == "ring" else ("coordinator", *ROLES)
    return [
        Program(
            part,
            (sys.executable, "-m", "benchmarks.bare", name, part, bus),
            _environment(),
            folder / "logs" / f"{part}.log",
        )
        for part in parts
    ]


def _environment() -> dict[str, str]:
    """Nothing of the caller's own settings leaks in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOOPWRIGHT_", "OTEL_"))}
    return kept | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def ids(count: int) -> list[str]:
    """So many new loops."""
    return [new_loop_id() for _ in range(count)]
