"""A tenant's memories, over a client: search, list, look at, forget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopwright import subjects
from loopwright.asking import query
from loopwright.memory import Recalled

if TYPE_CHECKING:
    from loopwright.client import Client


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a tenant's loops have learned. Raises RefusedError with the state service's sentence."""

    client: Client
    tenant: str = "default"

    async def search(self, text: str, k: int = 5, *, loop: str | None = None) -> list[Recalled]:
        """The memories that fit a text best; with `loop`, the iterations of that loop that do."""
        wanted = {"text": text, "k": k, "loop": loop}
        return _read(await query(self.client.nc, subjects.recall(self.tenant), wanted))

    async def ls(
        self, *, kind: str | None = None, tag: str | None = None, limit: int = 50
    ) -> list[Recalled]:
        """The newest memories."""
        wanted = {"kind": kind, "tag": tag, "limit": limit}
        return _read(await query(self.client.nc, subjects.memories(self.tenant), wanted))

    async def get(self, memory_id: str) -> Recalled | None:
        """One memory."""
        found = _read(
            await query(self.client.nc, subjects.memories(self.tenant), {"id": memory_id})
        )
        return found[0] if found else None

    async def forget(self, memory_id: str) -> None:
        """Forget a memory for good: it does not come back, whoever learns it again."""
        await query(self.client.nc, subjects.forget(self.tenant), {"id": memory_id})


def _read(answer: dict[str, Any]) -> list[Recalled]:
    return [Recalled.model_validate(item) for item in answer["memories"]]
