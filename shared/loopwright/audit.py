"""An offline check of one loop's log that shares no code with the coordinator or the fold.

It reads the events as they are stored and knows only the message schema: what it finds wrong is
wrong with the log, not with the code that folds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loopwright.budget import NOTHING, Amount, Budget
from loopwright.chain import GENESIS, LoopEvent
from loopwright.checks import ApprovalCheck
from loopwright.control import Amend, Approve, Control
from loopwright.events import (
    ChildSettled,
    ExecutionRequested,
    Grant,
    LateResultRecorded,
    LoopAdmitted,
    LoopControlled,
    LoopEnded,
    LoopHeld,
    PlanRequested,
    Settlement,
    VerificationRequested,
)
from loopwright.family import ChildEnd, Slice, Spawned
from loopwright.goal import Goal
from loopwright.marks import plan_digest
from loopwright.plan import Verdict


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored event."""

    event: LoopEvent
    seq: int
    body_digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """An event that somebody else saw in the log: its position, and the digest of its body."""

    n: int
    digest: str


@dataclass(slots=True)
class _Ledger:
    """What the events say, added up on its own."""

    goal: Goal
    budget: Budget
    found: list[str] = field(default_factory=list)
    spent: Amount = NOTHING
    open: dict[int, Grant] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    granted: set[tuple[str, int, int]] = field(default_factory=set)
    judged: str | None = None
    """The revision that the open verification is about."""
    overrun: bool = False
    asked: str | None = None
    """What a person is asked to approve."""
    approved: set[str] = field(default_factory=set)
    verdict: Verdict | None = None
    """The newest verdict about which a person was asked."""
    controls: set[str] = field(default_factory=set)
    slices: dict[str, Slice] = field(default_factory=dict)
    """Of the children that have not ended."""
    started: set[str] = field(default_factory=set)
    iteration: int = 0
    below: int = 0
    """Iterations of children that have ended."""


def audit(entries: Sequence[Entry], heads: Sequence[Head] = ()) -> list[str]:
    """Everything that is wrong with a loop's log, in sentences; empty if nothing is.

    A chain cannot show that its own end is cut off, or that all of it was written anew: `heads`,
    kept outside the stream and older than the reading of the log, can.
    """
    if not entries:
        return ["the log is empty"]
    return _content(entries) + _seen(entries, heads)


def _content(entries: Sequence[Entry]) -> list[str]:
    first = entries[0].event.data
    if not isinstance(first, LoopAdmitted):
        return [f"the log begins with {first.kind}, not with loop_admitted: its head is missing"]
    ledger = _Ledger(first.goal, first.goal.budget)
    ledger.found += _chain(entries)
    if first.goal.digest() != first.goal_digest:
        ledger.found.append("event 0: the goal is not what its digest says")
    for entry in entries:
        _event(ledger, entry)
    ledger.found += _end(entries)
    return ledger.found


def _chain(entries: Sequence[Entry]) -> list[str]:
    """Positions without gaps, `prev` the hash of the body before, sequences and times rising."""
    found = []
    prev, loop = GENESIS, entries[0].event.subject
    for n, entry in enumerate(entries):
        event = entry.event
        if event.n != n:
            found.append(f"event {n}: its position is {event.n}; the log has a gap or a repeat")
        if event.prev != prev:
            found.append(f"event {n}: `prev` is not the hash of the event before; it was altered")
        if event.subject != loop:
            found.append(f"event {n}: it belongs to loop {event.subject}")
        if n and entry.seq <= entries[n - 1].seq:
            found.append(f"event {n}: its stream sequence does not rise")
        if n and (event.time - entries[n - 1].event.time).total_seconds() < -60:
            found.append(f"event {n}: it is more than a minute older than the event before")
        prev = entry.body_digest
    return found


def _seen(entries: Sequence[Entry], heads: Sequence[Head]) -> list[str]:
    """What was seen is there still."""
    found = []
    digests = {entry.event.n: entry.body_digest for entry in entries}
    last = entries[-1].event.n
    for head in heads:
        if head.n > last:
            found.append(
                f"event {head.n} was seen, the log ends with event {last}: its end is cut off"
            )
        elif digests.get(head.n) != head.digest:
            found.append(f"event {head.n}: it is not the one that was seen; the log was rewritten")
    return found


def _event(ledger: _Ledger, entry: Entry) -> None:
    data, n = entry.event.data, entry.event.n
    if data.settles is not None:
        _settled(ledger, data.settles, n)
    if data.control is not None:
        _controlled(ledger, data.control, n)
    if data.child is not None:
        _child_ended(ledger, data.child, n)
    match data:
        case LoopAdmitted():
            if n:
                ledger.found.append(f"event {n}: the loop is admitted a second time")
        case PlanRequested() | ExecutionRequested() | VerificationRequested():
            _granted(ledger, data.grant, entry)
            if isinstance(data, VerificationRequested):
                ledger.judged = data.revision
            elif isinstance(data, ExecutionRequested):
                _approved(ledger, data, n)
        case LoopHeld():
            if data.wanted is not None:
                ledger.asked, ledger.verdict = data.wanted.of, data.verdict
            for child in data.children:
                _child_started(ledger, child, n)
        case LoopControlled() | ChildSettled():
            pass
        case LateResultRecorded():
            if data.grant_seq not in ledger.settled:
                ledger.found.append(f"event {n}: a late result of a grant that is not settled")
        case LoopEnded():
            _ended(ledger, data, n)
    _caps(ledger, n)


def _controlled(ledger: _Ledger, control: Control, n: int) -> None:
    """A person's word counts once; an amendment changes the caps."""
    if control.id in ledger.controls:
        ledger.found.append(f"event {n}: control message {control.id} is done a second time")
    ledger.controls.add(control.id)
    if isinstance(control, Approve) and control.of == ledger.asked:
        ledger.approved.add(control.of)
    if isinstance(control, Amend):
        new = control.budget.model_dump(exclude_none=True)
        ledger.budget = ledger.budget.model_copy(update=new)


def _approved(ledger: _Ledger, data: ExecutionRequested, n: int) -> None:
    """Where plans need approval, only an approved one is run."""
    if data.joined:  # nothing of the plan is run any more, only what its loops made is taken over
        return
    if "plan" in ledger.goal.approvals and plan_digest(data.plan) not in ledger.approved:
        ledger.found.append(f"event {n}: a plan is run that nobody approved")


def _granted(ledger: _Ledger, grant: Grant, entry: Entry) -> None:
    n, attempt = entry.event.n, (grant.role, grant.iteration, grant.attempt)
    if ledger.open:
        ledger.found.append(f"event {n}: a step is granted while another is open")
    if attempt in ledger.granted:
        ledger.found.append(f"event {n}: {attempt} is granted a second time")
    if grant.iteration > ledger.budget.iterations:
        ledger.found.append(f"event {n}: iteration {grant.iteration} is beyond the budget")
    ledger.iteration = max(ledger.iteration, grant.iteration)
    ledger.granted.add(attempt)
    ledger.open[entry.seq] = grant


def _settled(ledger: _Ledger, settlement: Settlement, n: int) -> None:
    grant = ledger.open.pop(settlement.grant_seq, None)
    if grant is None:
        again = settlement.grant_seq in ledger.settled
        why = "a second time" if again else "though it was never granted"
        ledger.found.append(f"event {n}: grant {settlement.grant_seq} is settled {why}")
        return
    ledger.settled.add(settlement.grant_seq)
    ledger.spent += settlement.charged
    if settlement.charged.exceeds(grant.reserved):
        ledger.overrun = True
        if not settlement.overrun:
            ledger.found.append(f"event {n}: more than reserved was charged and not named")
    unheard = settlement.status in ("worker_lost", "expired", "stopped", "ended")
    if unheard and settlement.charged != grant.reserved:
        ledger.found.append(f"event {n}: an unknown outcome was not charged in full")


def _child_started(ledger: _Ledger, child: Spawned, n: int) -> None:
    """A child is started once, with exactly its slice; how many is capped."""
    if child.id in ledger.started:
        ledger.found.append(f"event {n}: child {child.id} is started a second time")
    ledger.started.add(child.id)
    ledger.slices[child.id] = child.slice
    nesting, budget = ledger.goal.nesting, child.goal.budget
    caps = (budget.iterations, budget.tokens, budget.cost_microusd, budget.actions)
    part = child.slice
    if caps != (part.iterations, part.tokens, part.cost_microusd, part.actions):
        ledger.found.append(f"event {n}: the budget of child {child.id} is not its slice")
    if len(ledger.started) > nesting.fan_out:
        ledger.found.append(f"event {n}: more loops are started than nesting.fan_out allows")
    if child.goal.nesting.depth >= nesting.depth:
        ledger.found.append(f"event {n}: child {child.id} may nest as deep as its parent")


def _child_ended(ledger: _Ledger, end: ChildEnd, n: int) -> None:
    """A child's end is taken in once; what it spent is charged."""
    part = ledger.slices.pop(end.id, None)
    if part is None:
        ledger.found.append(f"event {n}: the end of {end.id}, which is no child that is open")
        return
    ledger.spent += end.spent
    ledger.below += end.iterations
    if part.overrun_by(end.spent):
        ledger.overrun = True
    if end.iterations > part.iterations:
        ledger.found.append(f"event {n}: child {end.id} had more iterations than its slice")


def _caps(ledger: _Ledger, n: int) -> None:
    """Spent and reserved are within every cap, unless a named overrun broke it."""
    used = ledger.spent
    for grant in ledger.open.values():
        used += grant.reserved
    for part in ledger.slices.values():
        used += part.amount
    budget = ledger.budget
    rounds = ledger.iteration + ledger.below + sum(p.iterations for p in ledger.slices.values())
    caps = (
        ("iterations", rounds, budget.iterations),
        ("tokens", used.tokens, budget.tokens),
        ("micro-dollars", used.cost_microusd, budget.cost_microusd),
        ("actions", used.actions, budget.actions),
    )
    for name, value, cap in caps:
        if cap is not None and value > cap and not ledger.overrun:
            ledger.found.append(f"event {n}: {value} {name} spent and reserved, the cap is {cap}")


def _ended(ledger: _Ledger, data: LoopEnded, n: int) -> None:
    for part in ledger.slices.values():
        ledger.spent += part.amount
    ledger.slices.clear()
    if data.spent != ledger.spent:
        ledger.found.append(
            f"event {n}: its total is {data.spent}, the log adds up to {ledger.spent}"
        )
    if data.goal_digest != ledger.goal.digest():
        ledger.found.append(f"event {n}: it names another goal")
    if ledger.open:
        ledger.found.append(f"event {n}: the loop ended with an open grant")
    if data.outcome == "achieved":
        ledger.found += [f"event {n}: achieved {why}" for why in _unearned(ledger, data)]


def _unearned(ledger: _Ledger, data: LoopEnded) -> Iterator[str]:
    """Why an achieved loop should not be: evidence, of the right revision, and leave if needed."""
    by_verdict = data.settles is not None and data.settles.role == "verifier"
    verdict = data.verdict if by_verdict else ledger.verdict
    if verdict is None:
        yield "without the verifier's verdict"
        return
    if not ledger.goal.required_checks <= verdict.passed:
        yield "though required checks did not pass"
    if ledger.judged is not None and verdict.revision != ledger.judged:
        yield "by a verdict about another revision"
    asked = any(isinstance(check, ApprovalCheck) for check in ledger.goal.verify.checks)
    if (asked or "result" in ledger.goal.approvals) and verdict.revision not in ledger.approved:
        yield "though nobody approved the result"


def _end(entries: Sequence[Entry]) -> list[str]:
    ends = [n for n, entry in enumerate(entries) if entry.event.data.kind == "loop_ended"]
    if len(ends) > 1:
        return [f"the loop ended {len(ends)} times"]
    if ends and ends[0] != len(entries) - 1:
        return [f"event {ends[0] + 1} follows the loop's end"]
    return []
