"""A service and its bus: a frozen server is noticed, an outage outlived, a closed client fatal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from proxy import proxy
from servers import Server, free_port, nats_server
from waiting import until

PING_S = 1.0
#: What nats-py tries by default before it gives up for good.
NATS_PY_TRIES = 60


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Server]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@dataclass
class Service:
    """A real process of a service."""

    process: asyncio.subprocess.Process
    port: int

    async def ready(self) -> bool:
        return await asyncio.to_thread(self._ready)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    async def unready(self) -> bool:
        return not await self.ready()


@asynccontextmanager
async def coordinator(url: str, folder: Path) -> AsyncIterator[Service]:
    """A coordinator that is ready, with short times."""
    port = free_port()
    settings = {
        "LOOPWRIGHT_NATS_URL": url,
        "LOOPWRIGHT_HTTP_PORT": str(port),
        "LOOPWRIGHT_PING_INTERVAL_S": str(PING_S),
        "LOOPWRIGHT_RECONNECT_WAIT_S": "0.02",
        "LOOPWRIGHT_GRACE_S": "0",
    }
    with (folder / "coordinator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "loopwright_coordinator",
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
        )
    service = Service(process, port)
    try:
        await until(service.ready, 30)
        yield service
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_frozen_server_is_noticed_within_three_pings(nats: Server, tmp_path: Path) -> None:
    async with coordinator(nats.url, tmp_path) as service:
        nats.signal(signal.SIGSTOP)
        try:
            frozen = monotonic()
            await until(service.unready, 30)
            noticed_s = monotonic() - frozen
        finally:
            nats.signal(signal.SIGCONT)
        assert noticed_s < 3 * PING_S + 1.5  # and the time to ask
        await until(service.ready, 30)


async def test_reconnecting_never_gives_up(nats: Server, tmp_path: Path) -> None:
    async with proxy(nats.port) as between, coordinator(between.url, tmp_path) as service:
        between.refusing = True
        between.cut()
        refused = between.accepted

        async def tried_longer_than_by_default() -> bool:
            return between.accepted > refused + 2 * NATS_PY_TRIES

        await until(tried_longer_than_by_default, 60)
        assert service.process.returncode is None
        between.refusing = False
        await until(service.ready, 30)


async def test_a_client_that_is_closed_for_good_ends_its_process(
    nats: Server, tmp_path: Path
) -> None:
    async with proxy(nats.port) as between, coordinator(between.url, tmp_path) as service:
        between.say(b"-ERR 'Maximum Payload Violation'\r\n")
        async with asyncio.timeout(30):
            assert await service.process.wait() == 1
    assert "closed for good" in (tmp_path / "coordinator.log").read_text()
