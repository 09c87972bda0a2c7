"""How the next plan is made: rung, model, temperature, context and strategy follow progress. Pure.

Every change is recorded with its cause in the event that grants the plan. The grant stays what the
budget allows: a change can make a call smaller or dearer, never larger than what is reserved.
"""

from __future__ import annotations

from datetime import datetime

from loopwright.approach import Approach, Change, Setting, Strategy, as_the_goal_says
from loopwright.events import Notice
from loopwright.loop import Loop
from loopwright.planners import Effort, OpenAI
from loopwright_coordinator.ladder import Fall, climbed, failures_here, place_of, rungs

#: No prompt is made smaller than this, in tokens.
LEAST_INPUT = 2048
#: Iterations in a row of which nothing was kept before the planner is to look first.
NOTHING_KEPT = 2
_PLACES: tuple[tuple[Setting, str], ...] = (
    ("model", "model"),
    ("temperature", "temperature"),
    ("effort", "effort"),
    ("input", "max_input_tokens"),
    ("output", "max_output_tokens"),
    ("strategy", "strategy"),
)


def approach(
    loop: Loop, notice: Notice | None, fall: Fall | None, now: datetime
) -> Approach | None:
    """How to plan next; None where it is as the goal says, and was."""
    spec = loop.goal.planner
    if not isinstance(spec, OpenAI):
        return None
    fall = fall or climbed(loop, spec, now)
    wanted, causes = _on_rung(loop, spec, fall, now), dict[Setting, str]()
    if spec.adaptive and wanted.kind != "playbook":
        wanted, causes = _by_progress(loop, spec, wanted, notice or loop.notice)
    wanted, causes = _after_overflow(loop, wanted, causes)
    before = loop.approach or as_the_goal_says(spec)
    changes = _changes(spec, before, wanted, causes, fall)
    stated = wanted.model_copy(update={"changes": changes})
    return None if stated == as_the_goal_says(spec) else stated


def _on_rung(loop: Loop, spec: OpenAI, fall: Fall | None, now: datetime) -> Approach:
    """The settings of the rung that the loop is on, or comes to."""
    before = loop.approach
    rung = fall.rung if fall else rungs(spec)[place_of(loop)]
    since = now if fall else (before.since if before else None)
    failures = loop.failures if fall else loop.failures - failures_here(loop)
    settled = as_the_goal_says(spec).model_copy(
        update={
            "rung": rung.place,
            "kind": rung.kind,
            "model": rung.model,
            "since": since if rung.place else None,
            "failures": failures,
        }
    )
    if rung.kind != "cheaper":
        return settled
    effort: Effort | None = None if spec.effort is None else "low"
    cheaper = {
        "max_input_tokens": _halved(spec.max_input_tokens, 1),
        "max_output_tokens": max(spec.max_output_tokens // 2, 1),
        "effort": effort,
    }
    return settled.model_copy(update=cheaper)


def _by_progress(
    loop: Loop, spec: OpenAI, wanted: Approach, notice: Notice | None
) -> tuple[Approach, dict[Setting, str]]:
    """What being stuck, and what the last iterations came to, change."""
    update: dict[str, object] = {}
    causes: dict[Setting, str] = {}
    if notice is not None and notice.level > 1:
        stuck = f"the loop is stuck: {notice.detail}"
        if notice.temperature is not None:
            update["temperature"], causes["temperature"] = notice.temperature, stuck
        if spec.stronger is not None and wanted.rung == 0:
            update["model"], causes["model"] = spec.stronger.model, stuck
    strategy = _strategy(loop, notice)
    if strategy is not None:
        update["strategy"], causes["strategy"] = strategy
    return wanted.model_copy(update=update), causes


def _strategy(loop: Loop, notice: Notice | None) -> tuple[Strategy, str] | None:
    if notice is not None:
        return "rethink", f"the loop is stuck: {notice.detail}"
    newest = loop.history[-NOTHING_KEPT:]
    if len(newest) == NOTHING_KEPT and not any(item.executed for item in newest):
        return "inspect", f"of the last {NOTHING_KEPT} iterations nothing was kept"
    if newest and newest[-1].turned_red:
        return "restore", f"the last iteration broke {', '.join(newest[-1].turned_red[:5])}"
    return None


def _after_overflow(
    loop: Loop, wanted: Approach, causes: dict[Setting, str]
) -> tuple[Approach, dict[Setting, str]]:
    """A context that the model refused as too large stays smaller for as long as it is asked."""
    before, room = loop.approach, wanted.max_input_tokens
    if before and (before.kind, before.model) == (wanted.kind, wanted.model):
        room = min(room, before.max_input_tokens)
    times = max(0, loop.compact - (before.compact if before else 0))
    if times:
        causes = {**causes, "input": "the context was too large for the model"}
    update = {"max_input_tokens": _halved(room, times), "compact": loop.compact}
    return wanted.model_copy(update=update), causes


def _halved(tokens: int, times: int) -> int:
    return max(tokens >> times, min(tokens, LEAST_INPUT))


def _changes(
    spec: OpenAI, before: Approach, now: Approach, causes: dict[Setting, str], fall: Fall | None
) -> tuple[Change, ...]:
    found = []
    if now.rung != before.rung:
        names = [_name(spec, item) for item in (before, now)]
        cause = fall.cause if fall else ""
        found.append(Change(setting="rung", before=names[0], now=names[1], cause=cause))
    for setting, place in _PLACES:
        old, new = getattr(before, place), getattr(now, place)
        if old != new:
            cause = causes.get(setting) or (fall.cause if fall else "what called for it is over")
            found.append(Change(setting=setting, before=_said(old), now=_said(new), cause=cause))
    return tuple(found)


def _name(spec: OpenAI, item: Approach) -> str:
    match item.kind:
        case "model":
            return rungs(spec)[item.rung].model
        case "cheaper":
            return f"{item.model} with cheaper settings"
        case "playbook":
            return "the playbook"


def _said(value: object) -> str:
    return "none" if value is None else str(value)
