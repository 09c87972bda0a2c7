"""The SDK: submit goals, follow loops, fetch results, over plain NATS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from pydantic import ValidationError
from ulid import ULID

from loopwright import subjects
from loopwright.asking import RefusedError, ask, query
from loopwright.audit import Entry, Head, audit
from loopwright.breakers import Breakers
from loopwright.connection import DEFAULT_NAME, Connection
from loopwright.control import Cancel, Control
from loopwright.errors import BusUnavailableError, Fault, GoalInvalidError, LoopwrightError
from loopwright.goal import Goal
from loopwright.ids import new_loop_id
from loopwright.letters import Letters
from loopwright.listing import subjects_of
from loopwright.loop import Loop, evolve
from loopwright.packing import pack, workspaces_of
from loopwright.progress import StepProgress
from loopwright.reading import NotFoundError, Recorded, checked, read, tip
from loopwright.tenants import Tenants
from loopwright.views import LoopView
from loopwright.workspace import Workspaces

__all__ = ["Client", "NotFoundError", "Recorded", "RefusedError", "Said"]

#: How long a connection is waited for, in seconds.
CONNECT_S = 3.0
#: Heads that are asked for at a time.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Said:
    """The coordinator's answer to a control message that it accepted."""

    reason: str
    """A sentence for people."""
    state: str
    """The loop's state, or its outcome, after it."""
    duplicate: bool = False
    """It was done before: nothing has changed now."""


@dataclass(slots=True)
class Client:
    """A connection to an installation; use it as an async context manager."""

    url: str = "nats://127.0.0.1:4222"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connection: Connection | None = None
    """Instead of the three: an nkey, TLS."""
    _nc: Nats | None = None

    async def __aenter__(self) -> Self:
        """Connect, or say in a sentence what was tried."""

        async def quiet(_: Exception) -> None:
            """Whoever waits gets the error; nats-py would print a traceback besides."""

        nc = Nats()
        to = self.connection or Connection(self.url, self.user or DEFAULT_NAME, self.password)
        try:
            async with asyncio.timeout(CONNECT_S):
                await nc.connect(
                    to.url,
                    **to.options(),
                    name="loopwright client",
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    ping_interval=5,
                    error_cb=quiet,
                )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(
                f"no NATS server answers at {to.url} ({type(error).__name__}); "
                "start it, or set LOOPWRIGHT_NATS_URL to where it is; "
                "a local runtime starts with: loopwright up"
            ) from error
        self._nc = nc
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._nc is not None:
            await self._nc.close()

    @property
    def nc(self) -> Nats:
        """The connection."""
        if self._nc is None:
            raise LoopwrightError("the client is not connected; use it with `async with`")
        return self._nc

    @property
    def letters(self) -> Letters:
        """What could not be handled."""
        return Letters(self.nc)

    @property
    def breakers(self) -> Breakers:
        """The circuit breakers of what the loops depend on."""
        return Breakers(self.nc)

    @property
    def tenants(self) -> Tenants:
        """The tenants' quotas and what they have spent."""
        return Tenants(self.nc)

    async def submit(self, goal: Goal, *, base: Path = Path(), tenant: str = "default") -> str:
        """Pack the goal's folders (relative to `base`), submit it, and return the loop's id.

        Raises GoalInvalidError with the faults that the coordinator found.
        """
        goal = goal if goal.id else goal.model_copy(update={"id": new_loop_id()})
        packed = await pack(self.nc, goal, base)
        body = packed.model_dump_json(exclude_none=True, by_alias=True).encode()
        answer = await ask(self.nc, subjects.goal_submitted(tenant), body)
        if not answer.get("accepted"):
            raise GoalInvalidError([Fault.model_validate(item) for item in answer["faults"]])
        return str(answer["loop"])

    def workspaces(self) -> AbstractAsyncContextManager[Workspaces]:
        """The loops' workspaces, in a cache that goes when the block ends."""
        return workspaces_of(self.nc)

    async def control(self, loop: str, message: Control) -> Said:
        """Say something to a loop; what the coordinator answers. Raises RefusedError."""
        body = message.model_dump_json(exclude_none=True).encode()
        answer = await ask(self.nc, subjects.control(checked(loop)), body)
        if not answer.get("accepted"):
            raise RefusedError(str(answer.get("reason")))
        return Said(
            reason=str(answer.get("reason", "")),
            state=str(answer.get("state", "")),
            duplicate=bool(answer.get("duplicate")),
        )

    async def cancel(self, loop: str, reason: str = "") -> Said:
        """End a loop; its best work is delivered. Raises RefusedError."""
        return await self.control(loop, Cancel(id=str(ULID()), reason=reason))

    def events(self, loop: str, *, follow: bool = True) -> AsyncIterator[Recorded]:
        """A loop's log from its beginning; with `follow` on to its end, as it happens."""
        return read(self.nc, loop, follow=follow)

    async def tip(self, loop: str) -> int:
        """Stream sequence of a loop's newest event; 0 if there is none."""
        return await tip(self.nc, loop)

    async def watch(self, loop: str) -> AsyncIterator[tuple[Recorded, Loop]]:
        """Each event of a loop with the loop as it is after it, to its end."""
        state: Loop | None = None
        async for item in self.events(loop):
            state = evolve(state, item.event, seq=item.seq, body_digest=item.body_digest)
            yield item, state

    @asynccontextmanager
    async def progress(
        self, loop: str, hear: Callable[[StepProgress], None]
    ) -> AsyncIterator[None]:
        """Hear how far the loop's running step is, while the block runs; what is missed is gone."""

        async def on(message: Msg) -> None:
            with contextlib.suppress(ValidationError):  # of a newer version
                hear(StepProgress.model_validate_json(message.data))

        subscription = await self.nc.subscribe(subjects.progress(checked(loop)), cb=on)
        try:
            yield
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def fold(self, loop: str) -> Loop:
        """The loop as its log says now; NotFoundError if there is none."""
        state: Loop | None = None
        async for item in self.events(loop, follow=False):
            state = evolve(state, item.event, seq=item.seq, body_digest=item.body_digest)
        if state is None:
            raise NotFoundError(f"there is no loop {loop}; list them with: loopwright ls")
        return state

    async def loops(
        self, *, tenant: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[LoopView]:
        """The newest loops, from the state service's projections."""
        wanted = {"tenant": tenant, "state": state, "limit": limit}
        answer = await query(self.nc, subjects.QUERY_LOOPS, wanted)
        return [LoopView.model_validate(item) for item in answer["loops"]]

    async def audit(self, loop: str, heads: Sequence[Head] = ()) -> list[str]:
        """Everything that is wrong with a loop's log, in sentences.

        `heads` are what `Client.heads` gave before; without them an end that is cut off, or a log
        that was written anew as a whole, does not show.
        """
        try:
            entries = await self.entries(loop)
        except LoopwrightError as error:
            return [str(error)]
        return audit(entries, heads)

    async def entries(self, loop: str) -> list[Entry]:
        """A loop's whole log as it is now; empty where there is none."""
        return [
            Entry(item.event, item.seq, item.body_digest)
            async for item in self.events(loop, follow=False)
        ]

    async def heads(self, loop: str | None = None) -> dict[str, list[Head]]:
        """Where the projections saw the logs end, of one loop or all, and those cut since."""
        found: dict[str, list[Head]] = {}
        async for item in self._heads({"loop": loop}):
            found.setdefault(item["loop"], []).append(Head(item["n"], item["head"]))
        async for item in self._heads({"cut": True}):
            if loop in (None, item["loop"]):
                found.setdefault(item["loop"], []).append(Head(item["n"], item["head"]))
        return found

    async def _heads(self, of: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            wanted = of | {"offset": offset, "limit": PAGE}
            page = (await query(self.nc, subjects.QUERY_HEADS, wanted))["heads"]
            for item in page:
                yield item
            if len(page) < PAGE:
                return
            offset += PAGE

    async def loop_ids(self) -> list[str]:
        """Every loop that the log holds an event of, the oldest first."""
        held = await subjects_of(self.nc, subjects.LOOPS, "loop.>")
        return sorted({subject.split(".")[1] for subject in held})

    async def export(self, loop: str, to: Path) -> str:
        """Write the loop's best work to a folder that is new or empty; its revision."""
        async with self._best(loop) as (workspaces, _, revision):
            await workspaces.export(loop, revision, to)
            return revision

    async def patch(self, loop: str) -> bytes:
        """The loop's best work as a patch on what it started from."""
        async with self._best(loop) as (workspaces, base, revision):
            return await workspaces.patch(loop, base, revision)

    @asynccontextmanager
    async def _best(self, loop: str) -> AsyncIterator[tuple[Workspaces, str, str]]:
        state = await self.fold(loop)
        async with self.workspaces() as workspaces:
            base = state.goal.workspace.revision
            if base is None:
                base = (await workspaces.create(loop, state.goal.workspace.files or {})).revision
            best = state.best.revision if state.best else state.revision
            yield workspaces, base, best or base
