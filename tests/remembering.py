"""Memories on a real bus, without a store: what the state service does with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from loopwright import subjects
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.service.metrics import Metrics
from loopwright.service.settings import ServiceSettings
from loopwright.service.tracing import Tracing
from loopwright_state.learning import Learner
from loopwright_state.memories import Memories
from loopwright_state.projector import Projector
from loopwright_state.queries import Queries
from loopwright_state.remembering import Remembering
from waiting import until


@dataclass(frozen=True)
class BusOnly:
    """A projector as far as answers need one."""

    bus: Bus


@asynccontextmanager
async def remembering(
    bus: Bus, objects: Objects, life: timedelta | None = None
) -> AsyncIterator[Remembering]:
    """Memories that are followed, learned and answered, until the block ends."""
    tracing = Tracing("state", ServiceSettings(replica="state"))
    learner = Learner(bus, objects, Metrics(), Memories(bus), tracing, life)
    answers = Remembering(learner)
    await answers.listen(Queries(cast(Projector, BusOnly(bus))))
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(learner.memories.run(stop)),
        asyncio.create_task(learner.run(stop)),
    ]

    async def whole() -> bool:
        return learner.memories.whole

    try:
        await until(whole)
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def ask(bus: Bus, subject: str, query: dict[str, Any]) -> dict[str, Any]:
    """One question to the state service."""
    answer = await bus.nc.request(subject, json.dumps(query).encode(), timeout=20)
    return dict(json.loads(answer.data))


async def recall(bus: Bus, tenant: str, text: str, k: int = 5) -> list[dict[str, Any]]:
    """What a tenant's loops have learned that fits a text."""
    return list((await ask(bus, subjects.recall(tenant), {"text": text, "k": k}))["memories"])
