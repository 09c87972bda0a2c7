"""Fixtures that many tests share: a fresh bus, and everything declared on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
import structlog

from line import Line
from loopwright import subjects
from loopwright.objects import NatsObjects, Objects
from loopwright.service.bus import Bus
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declare
from servers import Server, nats_server


@pytest.fixture
def settings() -> ServiceSettings:
    """Settings of tests; a delivery comes again only where a worker is really lost."""
    return ServiceSettings(ack_wait_s=10, replica="test")


@pytest.fixture
def nats_process(tmp_path: Path) -> Iterator[Server]:
    """A JetStream server of this test alone."""
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def bus(nats_process: Server, settings: ServiceSettings) -> AsyncIterator[Bus]:
    """A connection to it, with every stream declared."""
    nc = await nats.connect(
        nats_process.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, ping_interval=1
    )
    bus = Bus(nc, timeout_s=2.0)
    await declare(bus.js, settings)
    yield bus
    await nc.close()


@pytest.fixture
async def objects(bus: Bus) -> Objects:
    """The object store."""
    return NatsObjects(await bus.js.object_store(subjects.OBJECTS))


@pytest.fixture
async def line(bus: Bus, objects: Objects, settings: ServiceSettings) -> AsyncIterator[Line]:
    """Coordinators and workers on that bus, as many as the test starts."""
    line = Line(bus, objects, settings)
    yield line
    line.stop.set()
    await asyncio.gather(*line.tasks)


@pytest.fixture(autouse=True, scope="session")
def _quiet_logs() -> None:
    """Failures show their own output; a thousand lines of info would hide it.

    Tracebacks are plain: a pretty one with every local takes a busy machine seconds, in which
    nothing else of the process runs and what waits for the bus gives up.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("WARNING"),
    )
