"""A plan whose model is down is asked for on the next rung that is up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from loopwright.breaker import Refuse
from loopwright.events import EventData, PlanRequested
from loopwright.goal import OpenAI
from loopwright.loop import Loop, apply
from loopwright_coordinator.adapt import approach
from loopwright_coordinator.budgets import price_for, reserve_plan
from loopwright_coordinator.grants import planning_models
from loopwright_coordinator.ladder import Fall, Rung, holds, place_of, rungs


def detoured(loop: Loop, data: EventData, now: datetime, down: Mapping[str, Refuse]) -> EventData:
    """The event, its plan asked for on a lower rung where the breaker of its model is open."""
    spec = loop.goal.planner
    if not isinstance(data, PlanRequested) or not isinstance(spec, OpenAI):
        return data
    refused = [down.get(f"llm:{model}") for model in data.grant.models]
    if not refused or refused[0] is None:
        return data
    after = apply(loop, data, now).model_copy(update={"open": None})
    for rung in rungs(spec)[place_of(after) + 1 :]:
        up = holds(after, spec, rung) if rung.kind == "playbook" else _is_up(rung, down)
        if up:
            return _asked_on(after, data, Fall(rung, refused[0].why), now)
    return data


def _is_up(rung: Rung, down: Mapping[str, Refuse]) -> bool:
    return f"llm:{rung.model}" not in down


def _asked_on(after: Loop, data: PlanRequested, fall: Fall, now: datetime) -> PlanRequested:
    """The request on that rung; as it was where the budget does not cover it there."""
    found = approach(after, None, fall, now)
    if found is None:
        return data
    before = data.approach.changes if data.approach else ()
    found = found.model_copy(update={"changes": (*before, *found.changes)})
    there = after.model_copy(update={"approach": found})
    reserved = reserve_plan(there)
    if reserved is None:
        return data
    changed = {"reserved": reserved, "models": planning_models(there)}
    grant = data.grant.model_copy(update=changed)
    update = {"grant": grant, "approach": found, "price": price_for(there)}
    return data.model_copy(update=update)
