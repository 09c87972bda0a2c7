"""Degradation: which way of planning a loop falls to when the one before fails. Pure.

The rungs, in order: the goal's model, the models of its chain, the last of them with cheaper
settings, the goal's playbook. Below the last one the loop waits, as the table of errors says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from loopwright.approach import RungKind
from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.loop import Loop
from loopwright.planners import Ladder, Model, OpenAI
from loopwright.playbook import applicable

#: What another attempt on the same rung cannot mend.
AT_ONCE: frozenset[ErrorKind] = frozenset({"auth", "billing", "model_not_found", "dependency_down"})
#: What concerns the account, so that another model behind it would not answer either.
ACCOUNT: frozenset[ErrorKind] = frozenset({"auth", "billing"})
#: The endpoint cannot be reached: asking for less is no way to it.
UNREACHED: frozenset[ErrorKind] = frozenset({"network"})
#: What leads down at all. A context that is too large is made smaller instead, and what is wrong
#: with this system itself is no better on another rung.
LEADS_DOWN: frozenset[ErrorKind] = AT_ONCE | {
    "rate_limited",
    "overloaded",
    "timeout",
    "network",
    "invalid_output",
    "content_filtered",
    "tool_not_found",
    "invalid_arguments",
    "permission_denied",
}


@dataclass(frozen=True, slots=True)
class Rung:
    """A way of planning, and its place on the ladder."""

    place: int
    kind: RungKind
    model: str


@dataclass(frozen=True, slots=True)
class Fall:
    """The rung that a loop goes to, and why."""

    rung: Rung
    cause: str


def rungs(spec: OpenAI) -> tuple[Rung, ...]:
    """Every rung of a goal; only the first where it names no other."""
    models = (Model(model=spec.model), *spec.chain)
    found = [Rung(place, "model", item.model) for place, item in enumerate(models)]
    stepped = spec.ladder is not None or spec.chain or spec.playbook
    if stepped and (spec.ladder or Ladder()).cheaper:
        found.append(Rung(len(found), "cheaper", found[-1].model))
    if spec.playbook:
        found.append(Rung(len(found), "playbook", found[-1].model))
    return tuple(found)


def lower(loop: Loop, error: ErrorInfo) -> Fall | None:
    """Where a loop whose planning failed falls to; None where it stays. `loop` has the failure."""
    spec, at = loop.goal.planner, place_of(loop)
    if not isinstance(spec, OpenAI) or loop.step != "planner" or error.kind not in LEADS_DOWN:
        return None
    ladder, failed = spec.ladder or Ladder(), failures_here(loop)
    given_up = loop.strikes >= loop.limits.attempts
    if error.kind not in AT_ONCE and failed < ladder.after and not given_up:
        return None
    for rung in rungs(spec)[at + 1 :]:
        if rung.kind != "playbook" and error.kind in ACCOUNT:
            continue
        if rung.kind == "cheaper" and error.kind in UNREACHED:
            continue
        if holds(loop, spec, rung):
            times = "" if failed == 1 else f" {failed} times in a row"
            return Fall(rung, f"{error.kind}{times}: {error.message}")
    return None


def holds(loop: Loop, spec: OpenAI, rung: Rung) -> bool:
    """Whether a rung can carry the loop: a playbook only where one of its rules applies."""
    if rung.kind != "playbook":
        return True
    before = loop.goal.origin.failing if loop.goal.origin else ()
    return applicable(spec.playbook, loop.verdict, loop.rule_uses, before) is not None


def climbed(loop: Loop, spec: OpenAI, now: datetime) -> Fall | None:
    """The goal's own model again: after a while on a lower rung, or where that holds no longer."""
    approach = loop.approach
    if approach is None or approach.rung == 0:
        return None
    top, recover = rungs(spec)[0], (spec.ladder or Ladder()).recover
    waited = (now - (approach.since or now)).total_seconds()
    if waited >= recover:
        return Fall(top, f"{waited:.0f} s on a lower rung are over")
    if not holds(loop, spec, rungs(spec)[approach.rung]):
        return Fall(top, "no rule of the playbook applies any more")
    return None


def place_of(loop: Loop) -> int:
    """The rung that the loop stands on."""
    return loop.approach.rung if loop.approach else 0


def failures_here(loop: Loop) -> int:
    """Failures in a row on this rung."""
    before = loop.approach.failures if loop.approach else 0
    return loop.failures - min(before, loop.failures)
