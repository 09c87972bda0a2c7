"""Families on a real bus: children are started once, end with their parent, and are told of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.msg import Msg

from line import Line
from loopwright.control import Pause, Resume
from loopwright.events import ExecutionRequested, LoopAdmitted, LoopHeld
from loopwright.family import Parent
from loopwright.goal import Goal
from loopwright.loop import Loop
from loopwright.testing import playbook_goal
from loopwright_coordinator.admission import Settle
from loopwright_coordinator.families import end_of
from loopwright_coordinator.inputs import Begin, ChildEnded
from loopwright_coordinator.kin import Kin
from waiting import until


def race(**more: object) -> Goal:
    pattern = {"pattern": "race", "children": [{"name": "one"}, {"name": "two"}]}
    budget = {"iterations": 9, "actions": 20, "time": 600}
    return playbook_goal(pattern=pattern, budget=budget, **more)


async def children(line: Line, root: str) -> list[Loop]:
    """The root's children, when they are there."""

    async def there() -> list[Loop]:
        state = await line.loop(root)
        found = [await line.loop(child.id) for child in state.children if await line.log(child.id)]
        return found if len(found) == 2 else []

    return list(await until(there))


async def test_a_race_ends_with_the_parents_own_verdict(line: Line) -> None:
    line.coordinator()
    await line.work()
    root = await line.start(race())
    events = await line.events(root)
    assert (await line.loop(root)).ended == "achieved"
    join = next(e.data for e in events if isinstance(e.data, ExecutionRequested))
    assert sum(item.taken for item in join.joined) == 1
    below = await children(line, root)
    assert all(child.ended in ("achieved", "cancelled") for child in below)
    assert "achieved" in {child.ended for child in below}


async def test_two_coordinators_start_each_child_once(line: Line) -> None:
    line.coordinator()
    line.coordinator()
    root = await line.start(race())
    for child in await children(line, root):
        admitted = [e for e in await line.log(child.id) if isinstance(e.data, LoopAdmitted)]
        assert len(admitted) == 1
        data = admitted[0].data
        assert isinstance(data, LoopAdmitted)
        assert data.parent is not None
        assert data.parent.loop == root


async def test_a_parents_end_ends_its_children(line: Line) -> None:
    line.coordinator()
    root = await line.start(race())
    await children(line, root)
    await line.cancel(root)

    async def ended() -> bool:
        return {child.ended for child in await children(line, root)} == {"cancelled"}

    await until(ended)
    state = await line.loop(root)
    assert state.spent.actions == 20


async def test_a_child_of_a_parent_that_has_ended_is_not_started(line: Line) -> None:
    """The event that starts it is handled only after its parent's end."""
    coordinator = line.built()
    kin, waiting = coordinator.kin, list[Msg]()
    coordinator.kin = Later(kin.log, kin.tracing, waiting=waiting)
    line.coordinator(coordinator)
    root = await line.start(race())

    async def came() -> bool:
        return bool(waiting)

    await until(came)
    await line.cancel(root)
    for message in list(waiting):
        await kin.handle(message, coordinator.settle)
    state = await line.loop(root)
    assert [await line.log(child.id) for child in state.children] == [[], []]


@dataclass(frozen=True, slots=True)
class Later(Kin):
    """Puts the events aside."""

    waiting: list[Msg] = field(default_factory=list)

    async def handle(self, message: Msg, settle: Settle) -> None:
        self.waiting.append(message)


async def test_a_child_that_was_admitted_too_late_does_not_begin(line: Line) -> None:
    """Whoever admitted it died, and its parent ended meanwhile."""
    coordinator = line.built()
    kin = coordinator.kin
    coordinator.kin = Later(kin.log, kin.tracing)
    line.coordinator(coordinator)
    root = await line.start(race())
    state = await line.loop(root)
    data = (await line.log(root))[-1].data
    assert isinstance(data, LoopHeld)
    child = data.children[0]
    admitted = LoopAdmitted(
        tenant=state.tenant,
        goal=child.goal,
        goal_digest=child.goal.digest(),
        deadline=state.deadline,
        parent=Parent(loop=root, n=state.n, index=0),
    )
    await line.cancel(root)
    now = datetime.now(UTC)
    await kin.log.append(None, child.id, admitted, now=now, token=None, traceparent=None)
    await coordinator.settle(child.id, Begin())
    assert (await line.loop(child.id)).ended == "cancelled"


async def test_a_pause_and_a_resume_reach_the_children(line: Line) -> None:
    line.coordinator()
    root = await line.start(race())
    await children(line, root)
    await line.say(root, Pause(id="pause-root"))

    async def all_are(state: str) -> bool:
        return {child.state for child in await children(line, root)} == {state}

    await until(lambda: all_are("paused"))
    await line.say(root, Resume(id="resume-root"))
    await until(lambda: all_are("planning"))


async def test_a_childs_end_that_is_told_again_counts_once(line: Line) -> None:
    coordinator = line.built()
    line.coordinator(coordinator)
    await line.work()
    root = await line.start(race())
    await line.events(root)
    spent = (await line.loop(root)).spent
    for child in await children(line, root):
        for _ in range(2):
            await coordinator.settle(root, ChildEnded(end_of(child)))
    assert (await line.loop(root)).spent == spent
