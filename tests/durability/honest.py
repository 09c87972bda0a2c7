"""Real loops' logs on a real server: decided by `decide`, written by `Log.append`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from loopwright.audit import Head
from loopwright.budget import Usage
from loopwright.ids import new_loop_id
from loopwright.loop import Loop
from loopwright.plan import Plan
from loopwright.results import WorkerLost
from loopwright.testing import MemoryLog, model_goal
from loopwright_coordinator.log import Log
from table import TOUCH, Table

PLAN = Plan(summary="s", actions=(TOUCH,))
USAGE = Usage(input_tokens=100, output_tokens=20, cost_microusd=140)


def play(loops: int) -> list[MemoryLog]:
    """Loops side by side in one stream: a lost worker each, then one or two iterations."""
    sequence = count(1)
    tables = [Table(model_goal(), log=MemoryLog(new_loop_id(), sequence)) for _ in range(loops)]
    for table in tables:
        table.begin()
    for table in tables:
        table.event(table.result(WorkerLost()))
    for passed in (("a",), ("a", "b")):
        for table in tables:
            table.plan(PLAN, USAGE), table.execute(), table.verdict(*passed)
    return [table.log for table in tables]


async def write(log: Log, logs: Sequence[MemoryLog]) -> dict[str, list[Head]]:
    """Append the same events at the same sequences of a fresh stream; the heads of the loops."""
    events = sorted(
        (seq, one.loop_id, event)
        for one in logs
        for seq, event in zip(one.seqs, one.events, strict=True)
    )
    loops: dict[str, Loop] = {}
    for seq, loop_id, event in events:
        after = await log.append(
            loops.get(loop_id), loop_id, event.data, now=event.time, token=None, traceparent=None
        )
        assert after.tip == seq
        loops[loop_id] = after
    return {loop_id: [Head(loop.n, loop.head)] for loop_id, loop in loops.items()}
