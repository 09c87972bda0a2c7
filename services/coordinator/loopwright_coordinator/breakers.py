"""A loop whose model's breaker is open waits, instead of being granted a step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from loopwright.breaker import Refuse, wait_s
from loopwright.events import EventData, LoopEnded, LoopHeld, PlanRequested
from loopwright.goal import Goal, OpenAI
from loopwright.loop import Loop, apply
from loopwright_coordinator.exits import Exit, end

#: Nothing is down.
UP: Mapping[str, Refuse] = {}


def dependencies(goal: Goal) -> tuple[str, ...]:
    """What a loop's plans may need: its model and those of its ladder, if a model plans."""
    planner = goal.planner
    if not isinstance(planner, OpenAI):
        return ()
    models = (planner.model, *(item.model for item in planner.other_models))
    return tuple(f"llm:{model}" for model in dict.fromkeys(models))


def held_by_a_breaker(
    loop: Loop, data: EventData, now: datetime, down: Mapping[str, Refuse]
) -> EventData:
    """The event; a hold in its place, where it grants a plan of which every model is down.

    Nothing is reserved while it waits. The wait counts against `limits.patience` alone.
    """
    if not isinstance(data, PlanRequested) or not data.grant.models:
        return data
    refused = [down.get(f"llm:{model}") for model in data.grant.models]
    if None in refused:
        return data
    first, until = f"llm:{data.grant.models[0]}", _again(loop, refused, now)
    held = LoopHeld(
        settles=data.settles,
        control=data.control,
        hold="backing_off",
        until=min(until, loop.deadline),
        detail=f"{down[first].why}; tried again when it is back",
        dependency=first,
        **accepted(data),
    )
    return _given_up(loop, held, now) or held


def accepted(data: PlanRequested) -> dict[str, object]:
    """What a hold must carry of a request for a plan, to accept the step before it."""
    if data.settles is None or data.settles.status != "done":
        return {}
    if data.settles.role == "verifier":
        return {"plan": data.plan, "verdict": data.verdict}
    return {"plan": data.plan, "execution": data.outcome}


def _again(loop: Loop, refused: list[Refuse | None], now: datetime) -> datetime:
    return now + timedelta(seconds=min(wait_s(r, loop.id, now) for r in refused if r is not None))


def _given_up(loop: Loop, held: LoopHeld, now: datetime) -> LoopEnded | None:
    """The end, where the dependency is down for longer than the loop's patience."""
    after = apply(loop, held, now)
    down_s = (now - (after.failing_since or now)).total_seconds()
    if down_s < after.limits.patience:
        return None
    detail = f"{held.dependency} is down for {down_s:.0f} s, limits.patience is"
    cause = Exit("failed", "dependency", f"{detail} {after.limits.patience:g} s; {held.detail}")
    ended = end(
        after, now, cause, settles=held.settles, verdict=held.verdict, execution=held.execution
    )
    return ended.model_copy(update={"control": held.control})
