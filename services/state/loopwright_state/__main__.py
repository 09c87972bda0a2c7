"""The state service's composition root: `python -m loopwright_state`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from loopwright.service.app import Process, process, serve
from loopwright.service.bus import Bus
from loopwright.service.consumers import NOTIFIER
from loopwright.service.role import declared
from loopwright.service.settings import load
from loopwright_state.learning import Learner
from loopwright_state.memories import Memories
from loopwright_state.notices import Target
from loopwright_state.notifier import Notifier
from loopwright_state.projector import Projector, StateMetrics
from loopwright_state.queries import Queries
from loopwright_state.remembering import Remembering
from loopwright_state.settings import StateSettings
from loopwright_state.store import Store
from loopwright_state.webhooks import Deliveries

#: A store that does not answer within this is taken for away, in seconds.
STORE_TIMEOUT_S = 5.0


def connect(url: str, password_file: Path | None = None) -> Redis:
    """A client that says at once when the store is away: whoever waits, waits in one place."""
    password = password_file.read_text(encoding="utf-8").strip() if password_file else None
    return Redis.from_url(
        url,
        protocol=3,
        password=password,
        socket_timeout=STORE_TIMEOUT_S,
        socket_connect_timeout=STORE_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def deliveries(settings: StateSettings) -> Deliveries:
    """How the settings want people to be told."""
    secret = settings.notify_secret
    return Deliveries(
        secret=secret.get_secret_value() if secret else None,
        hosts=frozenset(settings.notify_hosts),
        command=settings.notify_command,
    )


def everyone(settings: StateSettings) -> tuple[Target, ...]:
    """Who is told of every loop."""
    found = []
    if settings.notify_webhook:
        found.append(Target(webhook=settings.notify_webhook, trusted=True))
    if settings.notify_command:
        found.append(Target(trusted=True))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Running:
    """What runs once the bus is there."""

    projector: Projector
    notifier: Notifier
    learner: Learner

    async def run(self, stop: asyncio.Event) -> None:
        """Project, tell and learn until stopped."""
        async with asyncio.TaskGroup() as group:
            for part in (self.projector, self.notifier, self.learner, self.learner.memories):
                group.create_task(part.run(stop))


async def started(bus: Bus, parts: Process, settings: StateSettings, store: Store) -> Running:
    """Every part on the bus, queries answered from now on."""
    objects = await declared(bus, NOTIFIER)
    projector = Projector(bus, objects, store, StateMetrics(parts.metrics.registry))
    queries = Queries(projector)
    await queries.listen()
    life = timedelta(days=settings.memory_days) if settings.memory_days else None
    learner = Learner(bus, objects, parts.metrics, Memories(bus), parts.tracing, life)
    await Remembering(learner).listen(queries)
    told = deliveries(settings), everyone(settings), settings.notify_on
    return Running(projector, Notifier(bus, objects, parts.metrics, *told), learner)


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(StateSettings)
    parts = process("state", settings)
    store = Store(connect(settings.redis_url.get_secret_value(), settings.redis_password_file))
    running: list[Running] = []

    async def prepare(bus: Bus) -> None:
        running.append(await started(bus, parts, settings, store))

    async def run(stop: asyncio.Event) -> None:
        await running[0].run(stop)

    async def ready() -> bool:
        try:
            return bool(running and running[0].projector.healthy and await store.redis.ping())
        except (RedisError, OSError):
            return False

    parts.on_start.append(prepare)
    parts.background.append(run)
    parts.ready_checks.append(ready)
    serve(parts)


if __name__ == "__main__":
    main()
