"""Answers about memories: what fits a text, a list, and forgetting. Never across tenants.

The tenant is a part of the subject that is asked on, which credentials allow or not; what a query's
body says cannot change it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg

from loopwright import subjects
from loopwright.errors import BusUnavailableError, LoopwrightError
from loopwright.memory import ForgetRequest, MemoryQuery, Recalled, RecallQuery
from loopwright.wire import Json
from loopwright_state.learning import Learner, story_of
from loopwright_state.queries import Queries
from loopwright_state.ranking import alive, best, lexical, recalled, text_of

#: So many of a tenant's newest memories are compared with a question.
COMPARED = 5_000


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Remembering:
    """Answers from the memories that a learner keeps."""

    learner: Learner
    now: Callable[[], datetime] = _utc

    async def listen(self, queries: Queries) -> None:
        """Answer from now on."""
        await queries.answer_on(subjects.recall("*"), self.recall)
        await queries.answer_on(subjects.memories("*"), self.listed)
        await queries.answer_on(subjects.forget("*"), self.forget)

    async def recall(self, message: Msg) -> dict[str, Json]:
        """The memories that fit best, or the iterations of one loop that do."""
        tenant, query = _tenant(message), RecallQuery.model_validate_json(message.data)
        if query.loop is not None:
            found: Sequence[Recalled] = await self._episodes(tenant, query.loop)
        else:
            self._must_be_whole()
            kept = alive(self.learner.memories.of(tenant), self.now())[:COMPARED]
            found = [recalled(item) for item in kept]
        scores = await asyncio.to_thread(lexical, [text_of(item) for item in found], query.text)
        return {"memories": _dumped(best(found, scores, query.k))}

    async def listed(self, message: Msg) -> dict[str, Json]:
        """The newest memories, or one."""
        self._must_be_whole()
        query = MemoryQuery.model_validate_json(message.data)
        kept = [
            item
            for item in alive(self.learner.memories.of(_tenant(message)), self.now())
            if query.id in (None, item.id)
            and query.kind in (None, item.kind)
            and (query.tag is None or query.tag in item.tags)
        ]
        found = [recalled(item) for item in kept[: query.limit]]
        return {"memories": _dumped(found), "left_off": len(kept) - len(found)}

    async def forget(self, message: Msg) -> dict[str, Json]:
        """Forget one memory."""
        request = ForgetRequest.model_validate_json(message.data)
        done = await self.learner.memories.forget(_tenant(message), request.id, self.now())
        if not done:
            return {"error": f"there is no memory {request.id}; list them: loopwright memory ls"}
        return {"forgotten": request.id}

    async def _episodes(self, tenant: str, loop: str) -> list[Recalled]:
        learner = self.learner
        story = await story_of(learner.bus, learner.objects, loop)
        if story.loop is None or story.loop.tenant != tenant:
            raise LoopwrightError(f"there is no loop {loop}; list them with: loopwright ls")
        return story.episodes

    def _must_be_whole(self) -> None:
        if not self.learner.memories.whole:
            raise BusUnavailableError("the memories are being read; ask again in a moment")


def _tenant(message: Msg) -> str:
    return message.subject.rsplit(".", 1)[-1]


def _dumped(found: Sequence[Recalled]) -> list[Json]:
    return [item.model_dump(mode="json", exclude_none=True) for item in found]
