"""The offline check of a log finds what was done to it, and nothing in an honest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loopwright.audit import Entry, audit
from loopwright.budget import Amount, Usage
from loopwright.chain import LoopEvent, digest
from loopwright.control import Approve, Cancel, Nudge
from loopwright.plan import Plan
from loopwright.results import WorkerLost
from loopwright.testing import model_goal, playbook_goal
from loopwright_coordinator.inputs import ControlArrived
from table import TOUCH, Table

MODEL_PLAN = Plan(summary="s", actions=(TOUCH,))


def honest() -> list[Entry]:
    """Two iterations, a lost worker, spending, achieved."""
    table = Table(model_goal())
    table.begin()
    table.event(table.result(WorkerLost()))
    for passed in (("a",), ("a", "b")):
        table.plan(MODEL_PLAN, Usage(input_tokens=100, output_tokens=20, cost_microusd=140))
        table.execute(), table.verdict(*passed)
    return entries(table)


def entries(table: Table) -> list[Entry]:
    log = table.log
    return [
        Entry(event, seq, digest(body))
        for event, seq, body in zip(log.events, log.seqs, log.bodies, strict=True)
    ]


def test_an_honest_log_has_nothing_wrong() -> None:
    assert audit(honest()) == []


def test_a_cancelled_log_has_nothing_wrong() -> None:
    table = Table(model_goal())
    table.begin()
    table.give(ControlArrived(Cancel(id="cancel-01")))
    assert audit(entries(table)) == []


def test_an_approval_check_that_nobody_approved_is_found() -> None:
    checks: list[Any] = [{"name": n, "kind": "file", "path": n} for n in ("a", "b")]
    asks = playbook_goal(verify={"checks": [*checks, {"name": "person", "kind": "approval"}]})
    table = Table(asks)
    table.begin(), table.work("a", "b")
    assert table.loop.held is not None
    assert table.loop.held.wanted is not None
    table.say(Approve(id="approve-001", of=table.loop.held.wanted.of))
    found = entries(table)
    assert audit(found) == []
    word = found[-1].event.data.control
    forged = altered(found, "loop_ended", control=Nudge(id="nudge-0001", hint="go on"))
    assert isinstance(word, Approve)
    assert any("nobody approved" in sentence for sentence in audit(forged))


def altered(found: list[Entry], kind: str, **changes: Any) -> list[Entry]:
    """The log with the data of its last event of a kind changed, and the chain mended."""
    at = max(n for n, entry in enumerate(found) if entry.event.data.kind == kind)
    event = found[at].event
    forged = event.model_copy(update={"data": event.data.model_copy(update=changes)})
    return rechained([*found[:at], Entry(forged, found[at].seq, ""), *found[at + 1 :]])


def rechained(found: list[Entry]) -> list[Entry]:
    """The same events in a chain that fits: what a forger with time would do."""
    fresh: list[Entry] = []
    for n, entry in enumerate(found):
        prev = fresh[-1].body_digest if fresh else entry.event.prev
        event: LoopEvent = entry.event.model_copy(update={"n": n, "prev": prev})
        fresh.append(Entry(event, entry.seq, digest(event.encode())))
    return fresh


def without_charge(found: list[Entry]) -> list[Entry]:
    lost = next(e for e in found if e.event.data.settles and e.event.data.settles.charged.tokens)
    settles = lost.event.data.settles
    assert settles is not None
    free = settles.model_copy(update={"charged": Amount()})
    data = lost.event.data.model_copy(update={"settles": free})
    event = lost.event.model_copy(update={"data": data})
    at = found.index(lost)
    return rechained([*found[:at], Entry(event, lost.seq, ""), *found[at + 1 :]])


FORGERIES: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str]] = {
    "an event is cut out": (lambda found: found[:3] + found[4:], "gap"),
    "an event is altered": (
        lambda found: [Entry(found[0].event, found[0].seq, "0" * 64), *found[1:]],
        "altered",
    ),
    "the head is cut off": (lambda found: found[1:], "head is missing"),
    "the end comes twice": (lambda found: rechained([*found, found[-1]]), "ended 2 times"),
    "something follows the end": (lambda found: rechained([*found, found[2]]), "follows"),
    "the total is another": (
        lambda found: altered(found, "loop_ended", spent=Amount()),
        "adds up to",
    ),
    "achieved without a verdict": (
        lambda found: altered(found, "loop_ended", verdict=None),
        "without the verifier's verdict",
    ),
    "a settlement is repeated": (
        lambda found: rechained([*found[:4], found[3], *found[4:]]),
        "settled a second time",
    ),
    "a grant is left out": (lambda found: rechained(found[:3] + found[4:]), "never granted"),
    "an unknown outcome is free": (without_charge, "not charged in full"),
    "the goal is another": (
        lambda found: altered(found, "loop_admitted", goal=model_goal(name="x")),
        "digest",
    ),
    "sequences fall": (
        lambda found: [*found[:2], Entry(found[2].event, 1, found[2].body_digest), *found[3:]],
        "does not rise",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_found(forgery: str) -> None:
    change, said = FORGERIES[forgery]
    found = audit(change(honest()))
    assert any(said in sentence for sentence in found), found


def test_a_cap_that_is_passed_is_found() -> None:
    goal = model_goal(budget={"iterations": 5, "tokens": 100, "time": 600})
    forged = altered(honest(), "loop_admitted", goal=goal, goal_digest=goal.digest())
    assert any("the cap is 100" in sentence for sentence in audit(forged))


def test_achieved_with_a_failed_check_is_found() -> None:
    log = honest()
    verdict = getattr(log[-1].event.data, "verdict", None)
    assert verdict is not None
    checks = tuple(check.model_copy(update={"status": "failed"}) for check in verdict.checks)
    forged = altered(log, "loop_ended", verdict=verdict.model_copy(update={"checks": checks}))
    assert any("did not pass" in sentence for sentence in audit(forged))
