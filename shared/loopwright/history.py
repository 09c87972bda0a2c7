"""Looking back at a loop and beginning anew from there: replay, diff and fork, over a client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loopwright.audit import Entry
from loopwright.forks import NoSuchPointError, after_iteration, forked, state_at
from loopwright.ids import new_loop_id
from loopwright.loop import Loop, evolve
from loopwright.plan import Verdict
from loopwright.workspace import Workspaces

if TYPE_CHECKING:
    from loopwright.client import Client


async def replay(client: Client, loop: str, to: int | None = None) -> Loop:
    """The loop after event `to` of its log, else after the newest; from the log alone."""
    entries = await _entries(client, loop)
    return state_at(entries, len(entries) - 1 if to is None else to)


async def diff(client: Client, loop: str, before: int, after: int) -> str:
    """What changed in the workspace from the end of one iteration to that of another; 0 begins."""
    entries = await _entries(client, loop)
    states = [after_iteration(entries, number) for number in (before, after)]
    async with client.workspaces() as workspaces:
        revisions = [await _revision(workspaces, state) for state in states]
        return await workspaces.diff(loop, *revisions)


async def fork(
    client: Client,
    loop: str,
    iteration: int,
    *,
    assignments: Sequence[str] = (),
    new_id: str | None = None,
) -> str:
    """Start a loop that goes on from the end of an iteration, in the same tenant; its id.

    `assignments` (`path=value`) change its goal. Raises NoSuchPointError and GoalInvalidError.
    """
    state = after_iteration(await _entries(client, loop), iteration)
    goal = forked(state, new_id or new_loop_id(), assignments)
    assert goal.id is not None
    needed = (goal.workspace.revision, goal.verify.held_out, goal.origin and goal.origin.revision)
    async with client.workspaces() as workspaces:
        for revision in {item for item in needed if item}:
            await workspaces.adopt(goal.id, loop, revision)
    return await client.submit(goal, tenant=state.tenant)


async def _entries(client: Client, loop: str) -> list[Entry]:
    entries = await client.entries(loop)
    if not entries:
        raise NoSuchPointError(f"there is no loop {loop}; list them with: loopwright ls")
    return entries


async def _revision(workspaces: Workspaces, loop: Loop) -> str:
    if loop.revision is not None:
        return loop.revision
    return (await workspaces.create(loop.id, loop.goal.workspace.files)).revision


async def verdicts(client: Client, loop: str) -> list[tuple[int, Verdict]]:
    """Each iteration that was judged, with its newest verdict, oldest first."""
    found: dict[int, Verdict] = {}
    state: Loop | None = None
    for entry in await _entries(client, loop):
        verdict = getattr(entry.event.data, "verdict", None)
        if state is not None and isinstance(verdict, Verdict):
            found[state.iteration] = verdict  # before the event, which may begin the next one
        state = evolve(state, entry.event, seq=entry.seq, body_digest=entry.body_digest)
    return sorted(found.items())
