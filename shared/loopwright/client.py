"""The SDK: submit goals, follow loops, fetch results, over plain NATS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats
from nats.js.api import ConsumerConfig
from ulid import ULID

from loopwright import subjects
from loopwright.audit import Entry, Head, audit
from loopwright.chain import LoopEvent, decode_event, digest
from loopwright.control import Cancel, Control
from loopwright.errors import BusUnavailableError, Fault, GoalInvalidError, LoopwrightError
from loopwright.goal import Goal
from loopwright.ids import is_loop_id, new_loop_id
from loopwright.letters import Letters
from loopwright.listing import subjects_of
from loopwright.loop import Loop, evolve
from loopwright.objects import NatsObjects
from loopwright.payloads import check_out
from loopwright.views import LoopView
from loopwright.workspace import Workspaces

#: How long an answer of the coordinator or of the state service is waited for, in seconds.
ANSWER_S = 15.0
CONNECT_S = 3.0
#: Heads that are asked for at a time.
PAGE = 500


class NotFoundError(LoopwrightError):
    """There is no such loop."""


class RefusedError(LoopwrightError):
    """The request was understood and refused, with the reason."""


@dataclass(frozen=True, slots=True)
class Said:
    """The coordinator's answer to a control message that it accepted."""

    reason: str
    """A sentence for people."""
    state: str
    """The loop's state, or its outcome, after it."""
    duplicate: bool = False
    """It was done before: nothing has changed now."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of a loop's log as it is stored."""

    event: LoopEvent
    seq: int
    body_digest: str


@dataclass(slots=True)
class Client:
    """A connection to an installation; use it as an async context manager."""

    url: str = "nats://127.0.0.1:4222"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    _nc: Nats | None = None

    async def __aenter__(self) -> Self:
        """Connect, or say in a sentence what was tried."""

        async def quiet(_: Exception) -> None:
            """Whoever waits gets the error; nats-py would print a traceback besides."""

        nc = Nats()
        try:
            async with asyncio.timeout(CONNECT_S):
                await nc.connect(
                    self.url,
                    user=self.user,
                    password=self.password,
                    name="loopwright client",
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    ping_interval=5,
                    error_cb=quiet,
                )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(
                f"no NATS server answers at {self.url} ({type(error).__name__}); "
                "start the local runtime with: loopwright up"
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

    async def submit(self, goal: Goal, *, base: Path = Path(), tenant: str = "default") -> str:
        """Pack the goal's folders (relative to `base`), submit it, and return the loop's id.

        Raises GoalInvalidError with the faults that the coordinator found.
        """
        goal = goal if goal.id else goal.model_copy(update={"id": new_loop_id()})
        packed = await self._pack(goal, base)
        body = packed.model_dump_json(exclude_none=True, by_alias=True).encode()
        answer = await self._ask(subjects.goal_submitted(tenant), body)
        if not answer.get("accepted"):
            raise GoalInvalidError([Fault.model_validate(item) for item in answer["faults"]])
        return str(answer["loop"])

    async def _pack(self, goal: Goal, base: Path) -> Goal:
        """The goal with its folders replaced by revisions in the object store."""
        assert goal.id is not None
        folder, held_out = goal.workspace.folder, goal.verify.held_out
        if folder is None and held_out is None:
            return goal
        async with self.workspaces() as workspaces:
            if folder is not None:
                revision = await _packed(workspaces, goal.id, base, folder, "workspace.folder")
                workspace = goal.workspace.model_copy(update={"folder": None, "revision": revision})
                goal = goal.model_copy(update={"workspace": workspace})
            if held_out is not None:
                assert goal.id is not None
                revision = await _packed(workspaces, goal.id, base, held_out, "verify.held_out")
                verify = goal.verify.model_copy(update={"held_out": revision})
                goal = goal.model_copy(update={"verify": verify})
        return goal

    @asynccontextmanager
    async def workspaces(self) -> AsyncIterator[Workspaces]:
        """The loops' workspaces, in a cache that goes when the block ends."""
        with TemporaryDirectory(prefix="loopwright-") as root:
            try:
                store = await self.nc.jetstream().object_store(subjects.OBJECTS)
            except (nats.js.errors.Error, nats.errors.Error) as error:
                raise BusUnavailableError(
                    "the object store does not answer; is the coordinator up?"
                ) from error
            yield Workspaces(Path(root), NatsObjects(store))

    async def control(self, loop: str, message: Control) -> Said:
        """Say something to a loop; what the coordinator answers. Raises RefusedError."""
        body = message.model_dump_json(exclude_none=True).encode()
        answer = await self._ask(subjects.control(_checked(loop)), body)
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

    async def _ask(self, subject: str, body: bytes) -> dict[str, Any]:
        """Store a request and wait for the answer on an inbox of our own."""
        inbox = self.nc.new_inbox()
        subscription = await self.nc.subscribe(inbox, max_msgs=1)
        try:
            headers = {subjects.REPLY_TO: inbox}
            await self.nc.jetstream(timeout=ANSWER_S).publish(subject, body, headers=headers)
            answer = await subscription.next_msg(timeout=ANSWER_S)
        except nats.js.errors.NoStreamResponseError as error:
            raise BusUnavailableError(
                f"nothing takes {subject}: is the coordinator up? See: loopwright doctor"
            ) from error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(
                f"{subject}: no answer within {ANSWER_S:g} s; the request may have been stored, "
                "and is done as soon as a coordinator is up"
            ) from error
        return dict(json.loads(answer.data))

    async def events(self, loop: str, *, follow: bool = True) -> AsyncIterator[Recorded]:
        """A loop's log from its beginning; with `follow` on to its end, as it happens."""
        js = self.nc.jetstream()
        every = subjects.loop_events(_checked(loop))
        objects = NatsObjects(await js.object_store(subjects.OBJECTS))
        config = ConsumerConfig(inactive_threshold=30.0)
        subscription = await js.subscribe(
            every, stream=subjects.LOOPS, ordered_consumer=True, config=config
        )
        last = await self.tip(loop)
        try:
            while follow or last:
                try:
                    message = await subscription.next_msg(timeout=1.0)
                except TimeoutError:
                    continue
                body = await check_out(message.data, objects)
                seq = message.metadata.sequence.stream
                recorded = Recorded(decode_event(body), seq, digest(body))
                yield recorded
                ended = recorded.event.data.kind == "loop_ended"
                if ended if follow else seq >= last:  # an audit must see what follows an end
                    return
        finally:
            if self.nc.is_connected:  # else the server has forgotten it already
                await subscription.unsubscribe()

    async def tip(self, loop: str) -> int:
        """Stream sequence of a loop's newest event; 0 if there is none."""
        every = subjects.loop_events(_checked(loop))
        try:
            stored = await self.nc.jetstream().get_msg(subjects.LOOPS, subject=every)
        except nats.js.errors.NotFoundError:
            return 0
        return stored.seq or 0

    async def watch(self, loop: str) -> AsyncIterator[tuple[Recorded, Loop]]:
        """Each event of a loop with the loop as it is after it, to its end."""
        state: Loop | None = None
        async for item in self.events(loop):
            state = evolve(state, item.event, seq=item.seq, body_digest=item.body_digest)
            yield item, state

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
        query = {"tenant": tenant, "state": state, "limit": limit}
        answer = await self._query(subjects.QUERY_LOOPS, query)
        return [LoopView.model_validate(item) for item in answer["loops"]]

    async def _query(self, subject: str, query: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self.nc.request(subject, json.dumps(query).encode(), timeout=ANSWER_S)
        except (nats.errors.NoRespondersError, TimeoutError) as error:
            raise BusUnavailableError(
                "the state service does not answer; see: loopwright doctor"
            ) from error
        found: dict[str, Any] = json.loads(answer.data)
        if found.get("error"):
            raise RefusedError(str(found["error"]))
        return found

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

    async def _heads(self, query: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            wanted = query | {"offset": offset, "limit": PAGE}
            page = (await self._query(subjects.QUERY_HEADS, wanted))["heads"]
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


async def _packed(workspaces: Workspaces, loop: str, base: Path, folder: str, path: str) -> str:
    source = base / folder
    if not source.is_dir():
        message = f"there is no folder {source}"
        raise GoalInvalidError([Fault(path=path, message=message)])
    return (await workspaces.create(loop, source)).revision


def _checked(loop: str) -> str:
    if not is_loop_id(loop):
        raise NotFoundError(f"'{loop}' is no loop id; list them with: loopwright ls")
    return loop
