"""The breakers of an installation over a connection: what people list, open and close."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.breaker import Breaker, force_closed, force_open
from loopwright.errors import LoopwrightError
from loopwright.records import Records, token

_DEPENDENCY = re.compile(r"^(llm|tool|mcp):\S(.{0,198}\S)?$")


class DependencyError(LoopwrightError):
    """What was named is no dependency."""


def subject_of(dependency: str) -> str:
    """Where a dependency's breaker is kept."""
    kind, _, name = dependency.partition(":")
    return subjects.breaker(kind, token(name))


@dataclass(frozen=True, slots=True)
class Breakers:
    """The BREAKERS stream."""

    nc: Nats

    @property
    def records(self) -> Records[Breaker]:
        """The records themselves."""
        return Records(self.nc, subjects.BREAKERS, Breaker)

    async def ls(self) -> list[Breaker]:
        """Every breaker that ever counted a failure."""
        return await self.records.all("breaker.>")

    async def get(self, dependency: str) -> Breaker:
        """A dependency's breaker; one that nobody wrote of is closed."""
        record, _ = await self.records.get(subject_of(dependency))
        return record or Breaker(dependency=dependency)

    async def open(self, dependency: str, why: str = "") -> Breaker:
        """Hold it open until somebody closes it: no call is made."""
        return await self._force(dependency, lambda b, now: force_open(b, now, why))

    async def close(self, dependency: str, why: str = "") -> Breaker:
        """Let every call through again, at once."""
        return await self._force(dependency, lambda b, now: force_closed(b, now, why))

    async def _force(
        self, dependency: str, change: Callable[[Breaker, datetime], Breaker]
    ) -> Breaker:
        if not _DEPENDENCY.match(dependency):
            raise DependencyError(
                f"'{dependency}' is no dependency; they look like llm:gpt-4o-mini, tool:http or "
                "mcp:github, see: loopwright breakers ls"
            )
        after = await self.records.change(
            subject_of(dependency),
            lambda known: change(known or Breaker(dependency=dependency), datetime.now(UTC)),
        )
        assert after is not None
        return after
