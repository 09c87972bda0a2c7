"""The gate before a call to a dependency: refuses while its breaker is open, reports how it ended.

The breaker is read at the stream's leader right before each call, so what any replica has seen
counts for all. The one probe of a half-open breaker is whoever's compare-and-set is first.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

import structlog
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.breaker import (
    RULES,
    Breaker,
    Holder,
    Probe,
    Refuse,
    Rules,
    Word,
    ask,
    is_down,
    report,
    wait_s,
)
from loopwright.breakers import subject_of
from loopwright.errors import ILL, BusUnavailableError, ConflictError, ErrorInfo, StepError
from loopwright.records import Records
from loopwright.service.step import Request, RequestT

log = structlog.get_logger()

#: A call that had less time than this and ran out of it says nothing about its dependency:
#: else one goal with a short time-out would open the breaker for everybody. In seconds.
FAIR_TIMEOUT_S = 10.0
#: Answers of the bus to the taking of a probe that may be missing in a row.
TRIES = 5


def holder_of(request: Request[RequestT]) -> Holder:
    """The attempt behind a request."""
    grant = request.grant
    return Holder(
        loop=request.loop,
        role=grant.role,
        iteration=grant.iteration,
        attempt=grant.attempt,
        deadline=grant.deadline,
    )


@dataclass(slots=True)
class Passage:
    """A call that was let through; what is said of it is reported when it is over."""

    word: Word = "unknown"
    info: ErrorInfo | None = None
    began: float = field(default_factory=monotonic)

    def answered(self) -> None:
        """The dependency is well, whatever it said."""
        self.word, self.info = "answered", None

    def failed(self, info: ErrorInfo, *, stopped: bool = False) -> None:
        """It gave no answer, or an error: the kind tells whether the dependency is to blame."""
        self.info = info
        if stopped or (info.kind == "timeout" and monotonic() - self.began < FAIR_TIMEOUT_S):
            self.word = "unknown"
        else:
            self.word = word_of(info)


def word_of(info: ErrorInfo) -> Word:
    """What an error says about the dependency behind it."""
    if info.kind in ILL:
        return "failed"
    if info.kind == "rate_limited":
        return "throttled"
    if info.kind in ("auth", "billing", "permission_denied", "internal", "worker_lost"):
        return "unknown"
    return "answered"  # a refusal of this one request: it is well enough to refuse


@dataclass(frozen=True, slots=True)
class Gate:
    """The breakers as callers use them."""

    nc: Nats
    rules: Rules = RULES

    @asynccontextmanager
    async def call(self, dependency: str, holder: Holder) -> AsyncIterator[Passage]:
        """Make one call inside of this; StepError `dependency_down` or `rate_limited` if refused.

        A StepError that leaves the block is reported as the call's failure, any other exception
        as unknown, unless the passage was told otherwise; leaving quietly means answered.
        """
        await self._enter(dependency, holder)
        passage = Passage()
        try:
            yield passage
            if passage.info is None:
                passage.answered()
        except StepError as error:
            if passage.info is None and passage.word == "unknown":
                passage.failed(error.info)
            raise
        finally:
            await self._leave(dependency, holder, passage)

    @property
    def _records(self) -> Records[Breaker]:
        return Records(self.nc, subjects.BREAKERS, Breaker)

    async def _enter(self, dependency: str, holder: Holder) -> None:
        try:
            if await self._probes(dependency, holder):
                log.warning("breaker", dependency=dependency, state="half_open")
        except BusUnavailableError as error:
            raise StepError("network", f"the breaker cannot be read: {error}") from error

    async def _probes(self, dependency: str, holder: Holder) -> bool:
        """Whether the call is the probe; an ambiguous taking is settled by looking again."""
        subject = subject_of(dependency)
        for _ in range(TRIES):
            record, seq = await self._records.get(subject)
            now = datetime.now(UTC)
            answer = ask(record or Breaker(dependency=dependency), holder, now)
            if isinstance(answer, Refuse):
                raise _refusal(dependency, holder, answer, now)
            if not isinstance(answer, Probe):
                return False
            with contextlib.suppress(ConflictError, BusUnavailableError):
                await self._records.put(subject, answer.record, seq)
                return True
        raise BusUnavailableError(f"{subject}: the probe could not be taken")

    async def _leave(self, dependency: str, holder: Holder, passage: Passage) -> None:
        """Report; where the bus does not take it, the probe's deadline speaks."""
        try:
            await self.report(dependency, holder, passage.word, passage.info)
        except BusUnavailableError as error:
            log.warning("a call's end was not reported", dependency=dependency, error=str(error))

    async def report(
        self, dependency: str, holder: Holder, word: Word, info: ErrorInfo | None = None
    ) -> None:
        """What became of an attempt's call; where that changes nothing, nothing is written."""
        detail = f"{info.kind}: {info.message}" if info else ""
        wait = info.retry_after_s if info else None

        def change(known: Breaker | None) -> Breaker | None:
            now, before = datetime.now(UTC), known or Breaker(dependency=dependency)
            after = report(before, holder, word, detail, now, retry_after_s=wait, rules=self.rules)
            return None if after is before else after

        await self._records.change(subject_of(dependency), change)

    async def look(self, dependency: str) -> Refuse | None:
        """Until when calls are refused, if they are; as the stream's leader has it."""
        record, _ = await self._records.get(subject_of(dependency))
        return is_down(record, datetime.now(UTC)) if record else None

    async def closed(self, dependency: str) -> bool:
        """Whether everybody may call."""
        record, _ = await self._records.get(subject_of(dependency))
        return record is None or (
            record.state == "closed" and is_down(record, datetime.now(UTC)) is None
        )


def _refusal(dependency: str, holder: Holder, refused: Refuse, now: datetime) -> StepError:
    wait = wait_s(refused, holder.loop, now)
    error = StepError(
        "rate_limited" if refused.throttled else "dependency_down", refused.why, retry_after_s=wait
    )
    error.info = error.info.model_copy(update={"dependency": dependency})
    return error
