"""The processes of a run: started, killed, frozen, and started again at once by their keeper."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from chaos.nodes import leader, servers
from loopwright.subjects import ROLES
from loopwright_cli.runtime.children import Child, Spec
from proxy import Mischief, proxy
from servers import Server, free_port

TESTS = Path(__file__).parents[1]
#: How many of each service run.
REPLICAS = 2
#: Steps that a worker does at once.
SLOTS = 4
#: A worker or coordinator that is silent this long is taken for lost, in seconds.
ACK_WAIT_S = 2.0
#: Everything must be up within this, in seconds.
UP_S = 120.0
#: Between two faults of a connection to the bus, on average, in seconds.
CONNECTION_FAULT_S = 1.0
_CONFLICTS = re.compile(rb"^loopwright_append_conflicts_total ([0-9.e+]+)$", re.MULTILINE)


@dataclass(slots=True)
class Member:
    """One replica of one service, in all its lives."""

    kind: str
    number: int
    argv: tuple[str, ...]
    env: dict[str, str]
    logs: Path
    child: Child | None = None
    port: int = 0
    deaths: int = 0
    """Ends that nobody asked for."""
    frozen: bool = False
    stopping: bool = False
    conflicts: dict[int, int] = field(default_factory=dict)
    """Process id → conflicts that it has counted, as last seen."""

    @property
    def name(self) -> str:
        """Kind and number."""
        return f"{self.kind}-{self.number}"

    @property
    def pid(self) -> int | None:
        """The living process, if there is one at this moment."""
        process = self.child.process if self.child else None
        return process.pid if process and process.returncode is None else None

    async def keep(self) -> None:
        """Run the process, and again whenever it ends, until stopping."""
        while not self.stopping:
            # A new port each time: while a process is dead, anybody may take its old one.
            self.port = free_port()
            env = {**self.env, "LOOPWRIGHT_HTTP_PORT": str(self.port)}
            spec = Spec(self.name, self.argv, env, self.ready)
            self.child = Child(spec, self.logs / f"{self.name}.log")
            await self.child.start()
            assert self.child.process is not None
            code = await self.child.process.wait()
            if code != -signal.SIGKILL and not self.stopping:
                self.deaths += 1
                await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """`kill -9`, once its counters have been read."""
        await self.read_counters()
        os.kill(await self._alive(), signal.SIGKILL)

    async def freeze(self, seconds: float) -> None:
        """Stop the process for a while, as a machine that swaps or a virtual machine that moves."""
        pid, self.frozen = await self._alive(), True
        try:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            self.frozen = False
            if pid == self.pid:  # else it was killed meanwhile
                os.kill(pid, signal.SIGCONT)

    async def _alive(self) -> int:
        while (pid := self.pid) is None:
            await asyncio.sleep(0.02)
        return pid

    async def ready(self) -> bool:
        """Whether its probe says so."""
        return await self._get("readyz") is not None

    async def read_counters(self) -> None:
        """Remember the conflicts that this life has counted."""
        if self.kind != "coordinator" or self.frozen:
            return
        pid, page = self.pid, await self._get("metrics")
        found = _CONFLICTS.search(page) if page else None
        if found and pid is not None:
            self.conflicts[pid] = int(float(found[1]))

    async def _get(self, path: str) -> bytes | None:
        url = f"http://127.0.0.1:{self.port}/{path}"
        return await asyncio.to_thread(_body, url)

    async def stop(self) -> None:
        """End it in order."""
        self.stopping = True
        if self.child is not None:
            await self.child.stop()


def _body(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bytes(answer.read())
    except OSError:
        return None


@dataclass(slots=True)
class Fleet:
    """The two servers and every service."""

    nodes: list[Server]
    """Of the bus: one, or a cluster."""
    valkey: Server
    members: list[Member]
    mischief: Mischief
    """What cuts, delays and silences the services' connections to the bus."""
    steady: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the bus is restarted or frozen, and by whoever needs it to stay."""
    stored: asyncio.Lock = field(default_factory=asyncio.Lock)
    """The same for the store."""

    @property
    def nats(self) -> Server:
        """The node that everybody connects to first; of a cluster they learn the others."""
        return self.nodes[0]

    def of(self, kind: str) -> list[Member]:
        """The replicas of a service."""
        return [member for member in self.members if member.kind == kind]

    @property
    def conflicts(self) -> int:
        """Appends of any coordinator, dead or alive, that another was faster with."""
        return sum(sum(member.conflicts.values()) for member in self.members)

    async def kill_nats(self) -> None:
        """`kill -9` the bus, of a cluster the log's leader; it is started again at once."""
        async with self.steady:
            await asyncio.to_thread(_restart, await leader(self.nodes))

    async def kill_valkey(self) -> None:
        """`kill -9` the store; it is started again at once."""
        async with self.stored:
            await asyncio.to_thread(_restart, self.valkey)

    async def freeze(self, kind: str, number: int, seconds: float) -> None:
        """Stop a server, or a replica of a service, for a while."""
        match kind:
            case "nats":
                await _freeze(await leader(self.nodes), self.steady, seconds)
            case "valkey":
                await _freeze(self.valkey, self.stored, seconds)
            case _:
                await self.of(kind)[number].freeze(seconds)

    async def until_ready(self) -> None:
        """Wait until every probe says so."""
        until = monotonic() + UP_S
        for member in self.members:
            while member.child is None or not await member.ready():
                if monotonic() > until:
                    tail = member.child.tail() if member.child else "it was not started"
                    raise RuntimeError(f"{member.name} is not up within {UP_S:g} s:\n{tail}")
                await asyncio.sleep(0.05)

    async def watch_counters(self) -> None:
        """Read the counters now and then, since a killed process takes them along."""
        while True:
            for member in self.members:
                await member.read_counters()
            await asyncio.sleep(0.5)


def _restart(server: Server) -> None:
    server.kill()
    server.start()


async def _freeze(server: Server, steady: asyncio.Lock, seconds: float) -> None:
    async with steady:
        server.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            server.thaw()


@asynccontextmanager
async def fleet(
    folder: Path,
    seed: int,
    *,
    planner: str | None = None,
    replicas: Mapping[str, int] | None = None,
    nodes: int = 1,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Fleet]:
    """Everything up; everything down in the end. `planner` is a module instead of the scripted one,
    `more` is added to the environment. Through the proxy goes what is said to the first node."""
    with servers(folder, nodes) as (bus, store):
        async with proxy(bus[0].port) as between:
            env = _environment(folder, seed, between.url, store, nodes) | dict(more or {})
            logs = folder / "logs"
            logs.mkdir()
            members = [
                Member(kind, number, argv, {**env, "LOOPWRIGHT_REPLICA": f"{kind}-{number}"}, logs)
                for kind, argv in _programs(planner).items()
                for number in range((replicas or {}).get(kind, REPLICAS))
            ]
            keepers = [asyncio.create_task(member.keep()) for member in members]
            try:
                whole = Fleet(bus, store, members, Mischief(between, seed, CONNECTION_FAULT_S))
                await whole.until_ready()
                yield whole
            finally:
                await asyncio.gather(*(member.stop() for member in members))
                await asyncio.gather(*keepers)


def _programs(planner: str | None) -> dict[str, tuple[str, ...]]:
    python = (sys.executable, "-m")
    programs: dict[str, tuple[str, ...]] = {
        "coordinator": (*python, "loopwright_coordinator"),
        "state": (*python, "loopwright_state"),
        **{role: (*python, "chaos.worker", role) for role in ROLES},
    }
    return programs | ({"planner": (*python, planner)} if planner else {})


def _environment(
    folder: Path, seed: int, bus_url: str, store: Server, nodes: int
) -> dict[str, str]:
    """Nothing of the caller's own settings leaks in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOOPWRIGHT_", "OTEL_"))}
    return kept | {
        "PYTHONPATH": str(TESTS),
        "LOOPWRIGHT_NATS_URL": bus_url,
        "LOOPWRIGHT_STREAM_REPLICAS": str(nodes),
        "LOOPWRIGHT_REDIS_URL": store.url,
        "LOOPWRIGHT_LOG_LEVEL": "WARNING",
        "LOOPWRIGHT_ACK_WAIT_S": str(ACK_WAIT_S),
        "LOOPWRIGHT_SLOTS": str(SLOTS),
        "LOOPWRIGHT_GRACE_S": "2",
        "LOOPWRIGHT_SWEEP_S": "10",
        "LOOPWRIGHT_WATCH_S": "5",
        "LOOPWRIGHT_SEED": str(seed),
        "LOOPWRIGHT_METERS": str(folder / "meters"),
    }
