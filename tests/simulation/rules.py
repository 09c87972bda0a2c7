"""The guards that a mutant takes out, and a decision without one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from loopwright.breaker import Refuse
from loopwright.loop import Loop
from loopwright.results import PlanProposed, VerdictReached
from loopwright_coordinator.breakers import UP
from loopwright_coordinator.core import decide
from loopwright_coordinator.exits import Exit, end
from loopwright_coordinator.inputs import Append, ChildEnded, Decision, Input, ResultArrived


def _of(kind: str) -> Any:
    """A guard that matters only in worlds of a kind."""
    return field(default=True, metadata={"worlds": kind})


@dataclass(slots=True)
class Rules:
    """The guards that a mutant may take out, each on by default."""

    compare_and_set: bool = True
    claim_first: bool = True
    fence_by_token: bool = True
    charge_unheard: bool = True
    """A lost, expired or ended attempt is charged in full."""
    read_to_the_tip: bool = True
    """Nothing is ignored on a fold that may be stale."""
    ack_last: bool = True
    """A message is acknowledged when all that follows from it is stored."""
    arm_timers: bool = True
    ask_the_claim: bool = True
    """At a missed deadline only a claim that nobody took releases a reservation."""
    count_what_is_spent: bool = True
    words_once: bool = True
    """A person's word that comes again does nothing more."""
    keep_the_pause: bool = True
    wait_for_approval: bool = True
    bind_the_verdict: bool = True
    """A verdict about another revision is refused."""
    gate: bool = True
    """A plan that claims to be done is judged, not believed."""

    read_the_parent: bool = _of("families")
    """No loop is started below one that has ended."""
    start_once: bool = _of("families")
    reserve_slices: bool = _of("families")
    """What children may still spend is not left for anything else."""
    charge_open_slices: bool = _of("families")
    """What children may still spend when their parent ends is charged to it."""
    take_an_end_once: bool = _of("families")
    tell_until_heard: bool = _of("families")
    """A child's end is told again until its parent has taken it in."""
    end_with_the_parent: bool = _of("families")
    stop_the_losers: bool = _of("families")
    """When one of a race is verified the others are cancelled."""

    look_before_the_call: bool = _of("outages")
    one_probe: bool = _of("outages")
    """A probe is taken by compare-and-set."""

    lease_first: bool = _of("tenants")
    lease_by_cas: bool = _of("tenants")
    return_once: bool = _of("tenants")


def decide_by(
    rules: Rules,
    loop: Loop,
    received: Input,
    now: datetime,
    nonce: str,
    down: Mapping[str, Refuse] = UP,
) -> Decision:
    """The coordinator's decision, as it would be without the guards that are out."""
    if isinstance(received, ResultArrived):
        body = received.result.body
        if not rules.gate and isinstance(body, PlanProposed) and not body.plan.actions:
            return Append(end(loop, now, Exit("achieved", "verified", "the planner says so")))
        if not rules.bind_the_verdict and isinstance(body, VerdictReached) and loop.revision:
            verdict = body.verdict.model_copy(update={"revision": loop.revision})
            result = received.result.model_copy(
                update={"body": body.model_copy(update={"verdict": verdict})}
            )
            received = replace(received, result=result)
    seen = _seen(rules, loop, received)
    return decide(loop.model_copy(update=seen) if seen else loop, received, now, nonce, down)


def _seen(rules: Rules, loop: Loop, received: Input) -> dict[str, object]:
    """What a decision without the guards takes the loop to be."""
    seen: dict[str, object] = {}
    if not rules.count_what_is_spent:
        caps = {"tokens": None, "usd": None, "actions": None}
        seen["budget"] = loop.budget.model_copy(update=caps)
    if not rules.words_once:
        seen["controls"] = ()
    if not rules.wait_for_approval and loop.goal.approvals:
        seen["goal"] = loop.goal.model_copy(update={"approvals": ()})
    if not rules.keep_the_pause and loop.state == "paused" and loop.open is not None:
        seen |= {"state": "planning", "held": None}
    if not rules.take_an_end_once and isinstance(received, ChildEnded):
        seen["children"] = tuple(
            child.model_copy(update={"end": None}) if child.id == received.end.id else child
            for child in loop.children
        )
    if not rules.reserve_slices and loop.children:
        nothing = {"iterations": 0, "tokens": None, "cost_microusd": None, "actions": None}
        seen["children"] = tuple(
            child.model_copy(update={"slice": child.slice.model_copy(update=nothing)})
            for child in loop.children
        )
    return seen
