"""What is done to the processes, and when: decided from the seed, paced by the loops' progress.

Progress paces it, so that a slow machine meets the same faults as a fast one: fault i comes when
so many loops have ended, or a while after the one before if nothing ends any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from chaos.fleet import Fleet
from chaos.script import chance
from loopwright.subjects import ROLES

#: Everything that can be killed.
KILLED = (*ROLES, "coordinator", "state", "nats", "valkey")
#: What can be frozen: the same.
FROZEN = KILLED
#: Kills for each freeze.
KILLS_A_FREEZE = 5
#: No loop has ended for this long: the next fault comes anyway, in seconds.
PATIENCE_S = 5.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done."""

    what: Literal["kill", "freeze"]
    kind: str
    number: int
    """Which replica."""
    ended: int
    """When so many loops have ended …"""
    delay_s: float
    """… and this has passed."""
    freeze_s: float = 0.0


def schedule(seed: int, kills: int, span: int) -> list[Fault]:
    """The faults of a run, spread until `span` loops have ended; every kind of kill as often."""
    dice = chance(seed, "faults")
    kinds: list[str] = []
    while len(kinds) < kills:
        kinds += dice.sample(KILLED, len(KILLED))
    plan: list[tuple[Literal["kill", "freeze"], str]] = [("kill", kind) for kind in kinds[:kills]]
    frozen: list[str] = ["nats", "valkey"]
    while len(frozen) < kills // KILLS_A_FREEZE:
        frozen += dice.sample(FROZEN, len(FROZEN))
    for kind in frozen[: max(2, kills // KILLS_A_FREEZE)]:
        plan.insert(dice.randrange(len(plan)), ("freeze", kind))
    return [
        Fault(
            what,
            kind,
            dice.randrange(2),
            ended=span * (place + 1) // len(plan),
            delay_s=dice.uniform(0.0, 0.6),
            freeze_s=dice.uniform(2.0, 4.0),
        )
        for place, (what, kind) in enumerate(plan)
    ]


@dataclass(slots=True)
class Faults:
    """Does them."""

    fleet: Fleet
    ended: Callable[[], int]
    kills: Counter[str] = field(default_factory=Counter)
    freezes: Counter[str] = field(default_factory=Counter)

    async def run(self, plan: list[Fault]) -> None:
        """All of them; when it returns, nothing is frozen and all that was killed is started."""
        async with asyncio.TaskGroup() as freezes:
            for fault in plan:
                await self._due(fault)
                await asyncio.sleep(fault.delay_s)
                if fault.what == "freeze":
                    frozen = self.fleet.freeze(fault.kind, fault.number, fault.freeze_s)
                    freezes.create_task(frozen)
                    self.freezes[fault.kind] += 1
                else:
                    await self._kill(fault)
                    self.kills[fault.kind] += 1

    async def _due(self, fault: Fault) -> None:
        ended, since = self.ended(), monotonic()
        while self.ended() < fault.ended and monotonic() - since < PATIENCE_S:
            await asyncio.sleep(LOOK_S)
            if self.ended() > ended:
                ended, since = self.ended(), monotonic()

    async def _kill(self, fault: Fault) -> None:
        match fault.kind:
            case "nats":
                await self.fleet.kill_nats()
            case "valkey":
                await self.fleet.kill_valkey()
            case _:
                await self.fleet.of(fault.kind)[fault.number].kill()
