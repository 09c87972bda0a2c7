"""Whole families on the table, in any order: the root's limits hold for all loops together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from family import Family, spawned
from loopwright.budget import Usage
from loopwright.control import Cancel, Pause, Resume
from loopwright.family import Left, carve
from loopwright.plan import Plan
from loopwright.results import PlanProposed
from loopwright.spawn import Share
from loopwright.testing import MemoryLog, model_goal, playbook_goal
from loopwright.tools import Action
from loopwright_coordinator.families import end_of
from loopwright_coordinator.inputs import Begin, ChildEnded, Woken
from loopwright_coordinator.quotas import wanted
from table import TOUCH, Table

PARTS = st.none() | st.integers(1, 30)


@given(
    st.integers(0, 60),
    st.none() | st.integers(0, 60),
    st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=8),
)
def test_slices_are_together_within_what_is_left(
    iterations: int, actions: int | None, wishes: list[tuple[int | None, int | None]]
) -> None:
    shares = [Share(iterations=i, actions=a) for i, a in wishes]
    slices = carve(Left(iterations=iterations, actions=actions), shares)
    if isinstance(slices, str):
        return
    assert sum(part.iterations for part in slices) <= iterations
    assert actions is None or sum(part.actions or 0 for part in slices) <= actions
    for part, share in zip(slices, shares, strict=True):
        assert share.iterations in (None, part.iterations)


class Kindred:
    """A root and all loops below it, moved on by a random hand; every model always fans out."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        goal = model_goal(
            tools=["shell", "spawn_loop"],
            nesting={"depth": 2, "fan_out": 4},
            budget={"iterations": 14, "tokens": 30_000, "usd": "0.05", "actions": 30, "time": 5000},
        )
        self.root = Table(goal, replays=False)
        self.tables = {self.root.loop.id: self.root}
        self.root.give(Begin())

    def step(self) -> bool:
        """Move one loop on; False when the root has ended."""
        table = self.random.choice([t for t in self.tables.values() if not t.loop.ended])
        if table.loop.open is not None:
            self.work(table)
        elif self.random.random() < 0.1:
            table.say(Pause(id=f"pause-{table.count:05}"))
        else:
            table.say(Resume(id=f"resume-{table.count:05}"))
        if self.random.random() < 0.01:
            table.say(Cancel(id=f"cancel-{table.count:05}"))
        self.carry()
        return self.root.loop.ended is None

    def work(self, table: Table) -> None:
        opened = table.loop.open
        assert opened is not None
        match opened.grant.role:
            case "planner":
                share = self.random.random()
                reserved = opened.grant.reserved
                usage = Usage(
                    input_tokens=int(reserved.tokens * share),
                    cost_microusd=int(reserved.cost_microusd * share),
                )
                count = self.random.randint(1, 3)
                children = [{"name": f"c{number}"} for number in range(count)]
                how = self.random.choice(["nested", "race", "best_of"])
                fan = Action(tool="spawn_loop", args={"pattern": how, "children": children})
                plan = Plan(summary="fan out", actions=(TOUCH, fan))
                if self.random.random() < 0.2:
                    plan = Plan(summary="touch", actions=(TOUCH,))
                table.give(table.result(PlanProposed(plan=plan), usage))
            case "executor":
                revision = f"{self.random.getrandbits(160):040x}"
                table.execute(revision, succeeded=self.random.random() < 0.8)
            case "verifier":
                passed = [name for name in ("a", "b") if self.random.random() < 0.4]
                table.verdict(*passed, revision=table.loop.revision or "0" * 40)

    def carry(self) -> None:
        """What the consumer of the log does, at once or later."""
        for table in list(self.tables.values()):
            for child in spawned(table):
                if child.id not in self.tables and table.loop.ended is None:
                    log = MemoryLog(child.id)
                    below = Table(child.goal, now=table.now, log=log, replays=False)
                    self.tables[child.id] = below
                    below.give(Begin())
            for known in table.loop.children:
                one = self.tables.get(known.id)
                if one is None or self.random.random() < 0.3:
                    continue
                if table.loop.ended and not one.loop.ended:
                    one.say(Cancel(id="parent-ended"))
                elif one.loop.ended and known.end is None and not table.loop.ended:
                    table.give(ChildEnded(end_of(one.loop)))

    def check(self) -> None:
        """At every prefix: what all loops have really been charged is within the root's caps."""
        loops = [table.loop for table in self.tables.values()]
        cap = self.root.loop.budget
        assert cap.cost_microusd is not None
        charged = [
            event.data.settles.charged
            for table in self.tables.values()
            for event in table.log.events
            if event.data.settles
        ]
        assert sum(amount.tokens for amount in charged) <= (cap.tokens or 0)
        assert sum(amount.cost_microusd for amount in charged) <= cap.cost_microusd
        assert sum(amount.actions for amount in charged) <= (cap.actions or 0)
        assert sum(loop.iteration for loop in loops) <= cap.iterations
        for loop in loops:
            used = loop.spent + loop.reserved
            assert used.tokens <= (loop.budget.tokens or 0)
            assert loop.iterations <= loop.budget.iterations
            assert len(loop.children) <= 4
        assert len(loops) <= 1 + 4 + 16


@pytest.mark.parametrize("seed", range(20))
def test_models_that_always_fan_out_are_bounded_by_the_root(seed: int) -> None:
    kin = Kindred(seed)
    for _ in range(400):
        if not kin.step():
            break
    kin.check()
    if kin.root.loop.ended is None:
        kin.root.now = kin.root.loop.deadline
        kin.root.give(Woken(claim_won=False))
    assert kin.root.loop.ended is not None
    for _ in range(50):
        kin.carry()
    kin.check()
    assert all(table.loop.ended for table in kin.tables.values())
    assert kin.root.loop.iterations <= kin.root.loop.budget.iterations


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_family_comes_to_the_same_end_whatever_the_order(seed: int) -> None:
    """Children's ends come in any order; what is spent and who is taken is the same."""
    ends = []
    for order in (1, -1):
        pattern = {"pattern": "best_of", "children": [{"name": f"c{n}"} for n in range(4)]}
        budget = {"iterations": 20, "actions": 40, "time": 600}
        one = Family(playbook_goal(pattern=pattern, budget=budget))
        one.begin()
        scores = random.Random(seed)
        for table in one.tables:
            table.work(*[name for name in ("a", "b") if scores.random() < 0.5])
            if not table.loop.ended:
                one.cancel(table)
        for table in one.tables[::order]:
            one.tell(table)
        data = one.root.log.events[-1].data
        ends.append((one.root.loop.spent, getattr(data, "joined", ())))
    assert ends[0] == ends[1]


def test_a_tenants_lease_knows_that_children_may_plan_with_a_model() -> None:
    alone, starts = playbook_goal(), playbook_goal(tools=["shell", "spawn_loop"])
    assert (wanted(alone).tokens, wanted(starts).tokens) == (0, None)
