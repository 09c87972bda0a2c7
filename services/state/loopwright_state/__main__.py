"""The state service's composition root: `python -m loopwright_state`."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from loopwright.service.app import process, serve
from loopwright.service.bus import Bus
from loopwright.service.role import declared
from loopwright.service.settings import load
from loopwright.service.streams import NOTIFIER
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


def connect(url: str) -> Redis:
    """A client that says at once when the store is away: whoever waits, waits in one place."""
    return Redis.from_url(
        url,
        protocol=3,
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


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(StateSettings)
    parts = process("state", settings)
    metrics = StateMetrics(parts.metrics.registry)
    store = Store(connect(settings.redis_url.get_secret_value()))
    projectors: list[Projector] = []
    notifiers: list[Notifier] = []
    learners: list[Learner] = []

    async def prepare(bus: Bus) -> None:
        objects = await declared(bus, NOTIFIER)
        projector = Projector(bus, objects, store, metrics)
        queries = Queries(projector)
        await queries.listen()
        life = timedelta(days=settings.memory_days) if settings.memory_days else None
        learner = Learner(bus, objects, parts.metrics, Memories(bus), life)
        await Remembering(learner).listen(queries)
        learners.append(learner)
        projectors.append(projector)
        notifiers.append(
            Notifier(
                bus,
                objects,
                parts.metrics,
                deliveries(settings),
                everyone(settings),
                settings.notify_on,
            )
        )

    async def run(stop: asyncio.Event) -> None:
        await projectors[0].run(stop)

    async def notify(stop: asyncio.Event) -> None:
        await notifiers[0].run(stop)

    async def learn(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(learners[0].memories.run(stop))
            group.create_task(learners[0].run(stop))

    async def ready() -> bool:
        try:
            return bool(projectors and projectors[0].healthy and await store.redis.ping())
        except (RedisError, OSError):
            return False

    parts.on_start.append(prepare)
    parts.background += [run, notify, learn]
    parts.ready_checks.append(ready)
    serve(parts)


if __name__ == "__main__":
    main()
