"""A service's process: the bus connection, the probes, the background work, a clean stop."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from faststream.asgi import AsgiFastStream, AsgiResponse
from faststream.asgi.types import ASGIApp, Receive, Scope, Send
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey
from faststream.security import BaseSecurity, SASLPlaintext
from prometheus_client import make_asgi_app

from loopwright.plugins import load_own_tools
from loopwright.service.bus import Bus
from loopwright.service.logs import Redactor, configure
from loopwright.service.metrics import Metrics
from loopwright.service.settings import ServiceSettings
from loopwright.service.tracing import Tracing

log = structlog.get_logger()

#: Pings that a server may leave unanswered; at the next the connection is given up.
MAX_PINGS = 2

Work = Callable[[asyncio.Event], Coroutine[None, None, None]]


@dataclass(slots=True)
class Process:
    """What the composition root of a service hands to its parts."""

    name: str
    settings: ServiceSettings
    broker: NatsBroker
    metrics: Metrics
    tracing: Tracing
    redactor: Redactor
    background: list[Work] = field(default_factory=list)
    ready_checks: list[Callable[[], Awaitable[bool]]] = field(default_factory=list)
    on_start: list[Callable[[Bus], Awaitable[None]]] = field(default_factory=list)
    """Run once, with the bus connected, before anything is consumed."""
    started: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def bus(self) -> Bus:
        """The connection; only after the start."""
        return Bus(self.broker.connection)

    async def begin(self) -> None:
        """Connect and prepare, before anything is consumed."""
        await self.broker.connect()
        self.metrics.bus_up.set(1)
        bus = self.bus
        for prepare in self.on_start:
            await prepare(bus)

    async def launch(self) -> None:
        """Start the background work; the service is ready."""
        for work in self.background:
            task = asyncio.create_task(work(self.stop))
            task.add_done_callback(_exit_on_failure)
            self._tasks.append(task)
        self.started = True
        log.info("ready")

    async def halt(self) -> None:
        """Let the background work finish while the bus is still there."""
        self.started = False
        self.stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.settings.grace_s)

    async def close(self) -> None:
        """Send the last spans."""
        self.tracing.close()
        log.info("stopped")


def process(name: str, settings: ServiceSettings) -> Process:
    """Logging, metrics, traces and an unconnected broker for a service."""
    redactor = configure(name, settings)
    load_own_tools()
    metrics = Metrics()
    stop = asyncio.Event()
    return Process(
        name=name,
        settings=settings,
        broker=_broker(name, settings, metrics, stop),
        metrics=metrics,
        tracing=Tracing(name, settings),
        redactor=redactor,
        stop=stop,
    )


def _broker(
    name: str, settings: ServiceSettings, metrics: Metrics, stop: asyncio.Event
) -> NatsBroker:
    async def lost() -> None:
        metrics.bus_up.set(0)

    async def back() -> None:
        metrics.bus_up.set(1)

    async def closed() -> None:
        # A closed client never comes back: the supervisor has to start a new process.
        if not stop.is_set():
            log.error("the bus connection is closed for good")
            os._exit(1)

    async def failed(error: Exception) -> None:
        # Nobody else hears that the bus refused a subject: the request just gets no answer.
        log.warning("the bus says", error=str(error))

    connection = settings.connection(name)
    options = connection.options()
    return NatsBroker(
        connection.url,
        name=f"{name}/{settings.replica}",
        security=_security(options),
        max_reconnect_attempts=-1,
        reconnect_time_wait=settings.reconnect_wait_s,  # type: ignore[arg-type]  # it is slept on
        ping_interval=settings.ping_interval_s,  # type: ignore[arg-type]
        max_outstanding_pings=MAX_PINGS,
        inbox_prefix=options["inbox_prefix"],
        graceful_timeout=settings.grace_s,
        disconnected_cb=lost,
        reconnected_cb=back,
        closed_cb=closed,
        error_cb=failed,
        logger=None,
    )


def _security(options: Mapping[str, Any]) -> BaseSecurity | None:
    tls: ssl.SSLContext | None = options.get("tls")
    if "nkeys_seed_str" in options:
        return NatsNKey.from_seed(options["nkeys_seed_str"], ssl_context=tls)
    if "password" in options:
        return SASLPlaintext(options["user"], options["password"], ssl_context=tls)
    return BaseSecurity(ssl_context=tls) if tls is not None else None


def serve(parts: Process) -> None:
    """Run the service until SIGTERM or SIGINT."""
    app = AsgiFastStream(
        parts.broker,
        logger=None,
        on_startup=[parts.begin],
        after_startup=[parts.launch],
        on_shutdown=[parts.halt],
        after_shutdown=[parts.close],
        asgi_routes=_routes(parts),
    )
    uvicorn.run(
        app,
        host=parts.settings.http_host,
        port=parts.settings.http_port,
        loop="uvloop",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )


def _exit_on_failure(task: asyncio.Task[None]) -> None:
    """A background task that fails would leave a process that looks alive and does nothing."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the service failed", exc_info=error)
        os._exit(1)


def _routes(parts: Process) -> Sequence[tuple[str, ASGIApp]]:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await AsgiResponse(b"live\n", 200)(scope, receive, send)

    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        good = parts.started and parts.broker.connection.is_connected
        good = good and all([await check() for check in parts.ready_checks])
        body = b"ready\n" if good else b"not ready\n"
        await AsgiResponse(body, 200 if good else 503)(scope, receive, send)

    return (
        ("/livez", live),
        ("/readyz", ready),
        ("/metrics", make_asgi_app(parts.metrics.registry)),
    )
