"""The offline checker: what must be true once everything is quiet, in sentences where it is not.

It trusts nothing that the run believed: it reads the logs, the meters, the dead letters, the
queues and the store, and compares them with each other.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from redis.asyncio import Redis

from chaos.claims import claimed_twice
from chaos.drive import Run
from chaos.faults import KILLED
from chaos.meter import Reading, readings
from chaos.poison import FORGER, Mark, mark_of
from chaos.projections import Dump, differences, dump, folded
from chaos.worker import ScriptedFaultError
from loopwright import subjects
from loopwright.audit import Entry, audit
from loopwright.budget import NOTHING, Amount
from loopwright.client import Client
from loopwright.errors import UnreadableError
from loopwright.events import LoopAdmitted, LoopEnded, Settlement
from loopwright.goal import Goal
from loopwright.letters import Letters
from loopwright.listing import subjects_of
from loopwright.service.consumers import COORDINATOR, INTAKE
from loopwright.subjects import ROLES
from loopwright_state.core import POSITION
from loopwright_state.store import decode_position

#: Fewer kills than this prove nothing.
MIN_KILLS = 15
#: Logs read at a time.
READERS = 8
#: How long queues and projections may take to come to rest, in seconds.
REST_S = 30.0
LOOK_S = 0.2


@dataclass(slots=True)
class Books:
    """All that a run has left behind."""

    logs: dict[str, list[Entry]]
    meters: list[Reading]
    letters: Counter[Mark]
    violations: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> Counter[str]:
        """How the loops ended."""
        ends = (log[-1].event.data for log in self.logs.values())
        return Counter(end.outcome for end in ends if isinstance(end, LoopEnded))

    @property
    def events(self) -> int:
        """Of all logs."""
        return sum(map(len, self.logs.values()))

    @property
    def executed_twice(self) -> int:
        """Attempts that were done more than once."""
        return sum(count > 1 for count in Counter(r.step for r in self.meters).values())


async def check(run: Run, client: Client, folder: Path) -> Books:
    """Read everything and find what is wrong."""
    found = [*unstressed(run.faults.kills, run.options.kills), *await _queues(client)]
    logs = await _logs(client)
    letters = Letters(client.nc)
    kept = Counter([mark_of(letter) for letter in await letters.ls(limit=100_000)])
    books = Books(logs, list(readings(folder / "meters")), kept, found)
    found += await claimed_twice(client)
    found += _lost(run, logs)
    for loop, log in logs.items():
        found += [
            f"loop {loop}: {fault}" for fault in (*audit(log), *_terminal(log), *_forged(log))
        ]
    found += metered(books)
    found += misplaced(Counter(run.poisoned), kept)
    found += await _projections(run, logs)
    found += _faults(folder / "logs")
    return books


def _faults(folder: Path) -> Iterator[str]:
    """Faults of the programs themselves, which a retry would hide; the script's are meant."""
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue  # an interpreter that was killed while it started
            if said.get("exception") and ScriptedFaultError.__name__ not in line:
                yield f"{path.stem} met a fault that nobody expected: {line[:500]}"


def unstressed(kills: Counter[str], asked: int) -> Iterator[str]:
    """Why the run proves nothing, if so."""
    if kills.total() < max(MIN_KILLS, asked):
        wanted = max(MIN_KILLS, asked)
        yield f"not a test: {kills.total()} processes were killed, at least {wanted} must be"
    for kind in KILLED:
        if not kills[kind]:
            yield f"not a test: no {kind} was killed"


async def _logs(client: Client) -> dict[str, list[Entry]]:
    gate = asyncio.Semaphore(READERS)

    async def read(loop: str) -> list[Entry]:
        async with gate:
            every = client.events(loop, follow=False)
            return [Entry(item.event, item.seq, item.body_digest) async for item in every]

    ids = await client.loop_ids()
    return dict(zip(ids, await asyncio.gather(*map(read, ids)), strict=True))


def _lost(run: Run, logs: dict[str, list[Entry]]) -> Iterator[str]:
    """Every acknowledged goal is in the log, and nothing that nobody submitted."""
    for loop in sorted(set(run.acknowledged) - logs.keys()):
        yield f"loop {loop}: its goal was acknowledged and is not in the log"
    for loop in sorted(logs.keys() - set(run.acknowledged)):
        yield f"loop {loop}: it is in the log, though its goal was never acknowledged"
    short = run.options.loops - len(run.acknowledged)
    if short:
        yield f"{short} goals were never acknowledged, however often they were submitted"
    if run.unended:
        some = ", ".join(run.unended[:3])
        yield f"{len(run.unended)} loops had not ended when they were given up, such as {some}"


def _terminal(log: list[Entry]) -> Iterator[str]:
    """Exactly one terminal event, and it is the last; the audit says if there are more."""
    if not isinstance(log[-1].event.data, LoopEnded):
        yield f"it has no terminal event, the last is {log[-1].event.data.kind}"


def _forged(log: list[Entry]) -> Iterator[str]:
    for entry in log:
        settles = entry.event.data.settles
        if settles is not None and settles.worker == FORGER:
            yield f"event {entry.event.n} accepts a forged result"


def metered(books: Books) -> Iterator[str]:
    """The provider's own meter: within the caps, granted, done once, and charged for."""
    by_loop: dict[str, list[Reading]] = defaultdict(list)
    for reading in books.meters:
        by_loop[reading.loop].append(reading)
    for loop, found in by_loop.items():
        log = books.logs.get(loop)
        if log is None:
            yield f"loop {loop}: steps were done, though it is not in the log"
            continue
        yield from _within_caps(loop, _goal(log), found)
        yield from _accounted(loop, log, found)
    for step, times in Counter(reading.step for reading in books.meters).items():
        if times > 1:
            yield f"attempt {step} was executed {times} times"


def _goal(log: list[Entry]) -> Goal:
    first = log[0].event.data
    assert isinstance(first, LoopAdmitted)
    return first.goal


def _within_caps(loop: str, goal: Goal, found: Iterable[Reading]) -> Iterator[str]:
    used = sum((reading.amount for reading in found), NOTHING)
    budget = goal.budget
    caps = (
        ("tokens", used.tokens, budget.tokens),
        ("micro-dollars", used.cost_microusd, budget.cost_microusd),
        ("actions", used.actions, budget.actions),
    )
    for name, value, cap in caps:
        if cap is not None and value > cap:
            yield f"loop {loop}: the meter shows {value} {name}, the cap is {cap}"


def _accounted(loop: str, log: list[Entry], found: Iterable[Reading]) -> Iterator[str]:
    """What each attempt used was granted, and charged at least."""
    granted: dict[tuple[str, int, int], Amount] = {}
    settled: dict[tuple[str, int, int], Settlement] = {}
    for entry in log:
        data = entry.event.data
        grant = getattr(data, "grant", None)
        if grant is not None:
            granted[grant.role, grant.iteration, grant.attempt] = grant.reserved
        if data.settles is not None:
            done = data.settles
            settled[done.role, done.iteration, done.attempt] = done
    for reading in found:
        step = (reading.role, reading.iteration, reading.attempt)
        if step not in granted:
            yield f"loop {loop}: {step} was done and never granted"
        elif reading.amount.exceeds(granted[step]):
            yield f"loop {loop}: {step} used {reading.amount}, {granted[step]} was reserved"
        elif step not in settled:
            yield f"loop {loop}: {step} was done and never settled"
        elif settled[step].status == "not_started":
            yield f"loop {loop}: {step} was done and is settled as not started"
        elif reading.amount.exceeds(settled[step].charged):
            charged, status = settled[step].charged, settled[step].status
            yield f"loop {loop}: {step} ({status}) used {reading.amount}, {charged} was charged"


def misplaced(injected: Counter[Mark], kept: Counter[Mark]) -> Iterator[str]:
    """The dead letters are what was injected, each once."""
    for mark, times in (injected - kept).items():
        yield f"{times} poisoned messages on {mark[1]} are no dead letters"
    for mark, times in (kept - injected).items():
        yield f"{times} dead letters from {mark[1]} ({mark[2]} bytes) that nobody injected"


async def _queues(client: Client) -> list[str]:
    """Every queue is empty, every consumer has done its work, nothing is stuck."""
    until = monotonic() + REST_S
    while found := [fault async for fault in _busy(client)]:
        if monotonic() > until:
            return found
        await asyncio.sleep(LOOK_S)
    return []


async def _busy(client: Client) -> AsyncIterator[str]:
    js = client.nc.jetstream()
    for stream, pattern in INTAKE.items():
        stored = sum((await subjects_of(client.nc, stream, pattern)).values())
        info = await js.consumer_info(stream, COORDINATOR)
        pending, unacknowledged = info.num_pending or 0, info.num_ack_pending or 0
        if stuck := stored - pending - unacknowledged:
            yield f"{stream}: {stuck} messages are stuck, no consumer will deliver them"
        if pending or unacknowledged:
            yield f"{stream}: {pending} messages wait, {unacknowledged} are being handled"
    for role in ROLES:
        info = await js.consumer_info(subjects.LOOPS, role)
        if info.num_pending or info.num_ack_pending:
            yield f"{role}: {info.num_pending} grants wait, {info.num_ack_pending} are being done"


async def _projections(run: Run, logs: dict[str, list[Entry]]) -> list[str]:
    """The store is what a fresh fold of the log says, also after it was wiped, twice."""
    redis = Redis.from_url(run.fleet.valkey.url)
    try:
        newest = max((log[-1].seq for log in logs.values()), default=0)
        found = await _projected(redis, newest)
        expected, wrong = _expected(logs)
        held = {key: value for key, value in found.items() if key in expected}
        wrong += [f"{key} is not what the log folds to" for key in differences(expected, held)]
        earlier = run.before_wipe
        again = {key: value for key, value in found.items() if key in earlier}
        wrong += [
            f"{key} is not what it was before the wipe" for key in differences(earlier, again)
        ]
        if not earlier:
            wrong.append("not a test: nothing was projected when the store was wiped mid-run")
        await redis.flushall()
        rebuilt = await _projected(redis, newest)
        wrong += [f"{key} is rebuilt otherwise" for key in differences(found, rebuilt)]
        return [f"projections: {fault}" for fault in wrong]
    finally:
        await redis.aclose()


def _expected(logs: dict[str, list[Entry]]) -> tuple[Dump, list[str]]:
    """What the store should hold, and which logs cannot be folded at all."""
    expected: Dump = {}
    broken = []
    for loop, log in logs.items():
        try:
            expected |= folded(loop, log)
        except UnreadableError as error:
            broken.append(str(error))
    return expected, broken


async def _projected(redis: Redis, seq: int) -> Dump:
    """The store once it has come to a position of the log."""
    until = monotonic() + REST_S
    while monotonic() < until:
        raw = await redis.get(POSITION)
        if raw is not None and decode_position(raw).seq >= seq:
            break
        await asyncio.sleep(LOOK_S)
    return await dump(redis)
