"""Starting loops below a loop, waiting for them, and taking over what they made. Pure.

The event that starts children reserves their slices. It is the consumer of that event which admits
them, and the consumer of a child's end which tells its parent: nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from loopwright.children import child_goals, pattern_plan, spawn_faults, spawned_by
from loopwright.control import Cancel, Control, Pause, Resume
from loopwright.errors import Fault
from loopwright.events import ChildSettled, EventData, ExecutionRequested, LoopHeld, Settlement
from loopwright.family import (
    ChildEnd,
    ChildState,
    Join,
    Spawned,
    all_ended,
    carve,
    joined,
    race_is_won,
)
from loopwright.fold.families import child_ended as with_child_end
from loopwright.ids import loop_id_for
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan
from loopwright.spawn import SPAWN_TOOL, Spawn
from loopwright_coordinator.budgets import left_of
from loopwright_coordinator.exits import Exit, end, out_of_budget, overdue, unmet
from loopwright_coordinator.grants import grant_execution
from loopwright_coordinator.inputs import Append, ChildEnded, Decision, Ignore

#: Why a child is paused with its parent, so that it goes on with it; not one that a person paused.
WITH_PARENT = "its parent is paused"


def has_family(loop: Loop | None, data: EventData) -> bool:
    """Whether an event may mean something to the loop's parent or children."""
    starts = isinstance(data, LoopHeld) and bool(data.children)
    return starts or (loop is not None and (loop.parent is not None or bool(loop.children)))


def refused_spawn(loop: Loop, plan: Plan) -> Iterator[Fault]:
    """Why the loops that a plan starts cannot be started: depth, fan-out, their goals."""
    spawn = spawned_by(plan)
    if spawn is not None:
        where = f"actions[{len(plan.actions) - 1}].args"
        yield from spawn_faults(loop.goal, spawn, len(loop.children), where)


def spawn_step(
    loop: Loop, settles: Settlement | None, now: datetime, outcome: Outcome | None = None
) -> Append:
    """Start the plan's loops, or the goal's own, each with a slice of what is left."""
    if now >= loop.deadline:
        return Append(end(loop, now, overdue(loop), settles=settles))
    first = loop.iteration == 0 and loop.goal.pattern is not None
    plan = pattern_plan(loop.goal.pattern) if first and loop.goal.pattern else None
    spawn = spawned_by(plan or loop.plan)
    assert spawn is not None
    base = outcome.revision if outcome is not None else loop.revision
    made = _children(loop, spawn, base, now, first=first)
    if isinstance(made, Exit):
        return Append(out_of_budget(loop, now, made, settles=settles, execution=outcome))
    held = LoopHeld(
        settles=settles,
        hold="awaiting_children",
        until=loop.deadline,
        detail=_waits(spawn.pattern, len(made)),
        plan=plan or (loop.plan if outcome is not None else None),
        execution=outcome,
        children=made,
        join=Join(pattern=spawn.pattern, ids=tuple(child.id for child in made)),
    )
    return Append(held)


def _waits(pattern: str, count: int) -> str:
    what = {"race": "for the first of", "best_of": "for the best of"}.get(pattern, "for")
    return f"waits {what} {count} loop{'s' if count > 1 else ''}"


def _children(
    loop: Loop, spawn: Spawn, base: str | None, now: datetime, *, first: bool
) -> tuple[Spawned, ...] | Exit:
    """The children with their ids and budgets; the exit of a loop that has too little left."""
    pairs = child_goals(loop.goal, spawn)
    left = left_of(loop)
    if first:  # the children are this loop's first iteration
        left = left.model_copy(update={"iterations": left.iterations - 1})
    slices = carve(left, [child.budget for child, _ in pairs])
    if isinstance(slices, str):
        return _too_little(loop, slices, len(pairs))
    seconds = (loop.deadline - now).total_seconds()
    made = []
    for index, ((child, goal), part) in enumerate(zip(pairs, slices, strict=True)):
        id_ = loop_id_for(now, loop.id, str(loop.n + 1), str(index))
        changes: dict[str, object] = {
            "id": id_,
            "budget": part.budget(min(child.budget.time or seconds, seconds)),
        }
        if base is not None and child.workspace == "copy":
            changes["workspace"] = goal.workspace.model_copy(
                update={"revision": base, "files": None}
            )
        made.append(
            Spawned(
                id=id_,
                name=goal.name,
                goal=goal.model_copy(update=changes),
                slice=part,
                into=child.into,
                take=child.take,
            )
        )
    return tuple(made)


def _too_little(loop: Loop, budget: str, count: int) -> Exit:
    reason = {"iterations": "iterations", "tokens": "tokens", "cost": "cost", "actions": "actions"}
    detail = f"too little is left of the {budget} for {count} loops; {unmet(loop)}"
    flag = "usd" if budget == "cost" else budget
    more = f"raise it with: loopwright amend {loop.id} --{flag} N"
    return Exit("exhausted", reason[budget], f"{detail}; {more}")  # type: ignore[arg-type]


def join_step(loop: Loop, settles: Settlement | None, now: datetime, nonce: str) -> Append:
    """Ask for the children's work to be taken over, or wait until it is known whose."""
    assert loop.join is not None
    assert loop.plan is not None
    if now >= loop.deadline:
        return Append(end(loop, now, overdue(loop), settles=settles))
    if not all_ended(loop.join, loop.children):
        detail = _waits(loop.join.pattern, len(loop.join.ids))
        hold = LoopHeld(
            settles=settles, hold="awaiting_children", until=loop.deadline, detail=detail
        )
        return Append(hold)
    data = ExecutionRequested(
        settles=settles,
        grant=grant_execution(loop, loop.plan, now, nonce, loop.attempt + 1),
        revision=loop.revision,
        plan=loop.plan,
        joined=joined(loop.join, loop.children),
    )
    return Append(data, token=nonce)


def child_ended(loop: Loop, received: ChildEnded, now: datetime, nonce: str) -> Decision:
    """Take in a child's end: charge it, free the rest of its slice, and go on if it was the one."""
    known = next((child for child in loop.children if child.id == received.end.id), None)
    if known is None:
        return Ignore(f"{received.end.id} is no child of this loop")
    if known.end is not None:
        return Ignore("this child's end was taken in before", done=True)
    after = with_child_end(loop, received.end)
    if loop.state != "awaiting_children" or loop.join is None:
        return Append(ChildSettled(child=received.end))
    if not all_ended(loop.join, after.children):
        return Append(ChildSettled(child=received.end))
    step = join_step(after, None, now, nonce)
    return replace(step, data=step.data.model_copy(update={"child": received.end}))


def with_what_ran(loop: Loop, outcome: Outcome) -> Outcome:
    """The outcome of a join, after what the plan's own actions did before."""
    ran = loop.outcome.actions if loop.outcome is not None else ()
    before = tuple(action for action in ran if action.tool != SPAWN_TOOL)
    return outcome.model_copy(update={"actions": (*before, *outcome.actions)})


def told(loop: Loop, child: ChildState, state: Loop | None) -> Control | None:
    """What a loop's state means to a child that has not ended: cancel, pause or resume it."""
    if state is None or state.ended is not None:
        return None
    if loop.ended is not None:
        return Cancel(id=f"{loop.id}-cancel", reason="its parent ended")
    if loop.join is not None and race_is_won(loop.join, loop.children):
        return Cancel(id=f"{loop.id}-cancel", reason="another loop of its race won")
    paused = state.held is not None and state.held.kind == "paused"
    with_parent = paused and state.held is not None and state.held.detail == WITH_PARENT
    if loop.state == "paused" and not paused:
        return Pause(id=f"{loop.id}-pause-{state.n}", reason=WITH_PARENT)
    if loop.state != "paused" and with_parent:
        return Resume(id=f"{loop.id}-resume-{state.n}")
    return None


def end_of(child: Loop) -> ChildEnd:
    """What a parent is told of a child that has ended."""
    best = child.best
    return ChildEnd(
        id=child.id,
        outcome=child.ended or "failed",
        reason=child.reason or "errors",
        detail=child.detail[:1000],
        iterations=child.iterations,
        spent=child.spent,
        revision=best.revision if best else None,
        score=best.score if best else None,
        passed=best.passed if best else 0,
        checks=best.checks if best else 0,
    )
