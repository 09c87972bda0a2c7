"""A worker that does what it is told, a line of JSON each, with the executor's real journal.

The effect of its one tool is a line in a file: it happened as soon as the line is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import nats

from effects.tool import LEDGER, SPEC, charge
from loopwright.plan import ActionOutcome
from loopwright.service.bus import Bus
from loopwright.service.logs import Redactor
from loopwright.service.sandbox import Limits, NoSandbox
from loopwright.testing import playbook_goal
from loopwright.tools import Action, register
from loopwright_executor.journal import BusJournal, Entry, Journal, State
from loopwright_executor.once import Once
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.own import Own


class Forgetful:
    """A journal that remembers nothing: what there would be without one."""

    async def begin(self, call: Call) -> tuple[bool, Entry]:
        return True, Entry("begun", call.digest, 0, "")

    async def write(self, call: Call, entry: Entry, state: State, outcome: ActionOutcome) -> None:
        return None


async def main(url: str, kind: str) -> None:
    """Serve until standard input ends."""
    register(SPEC)
    connection = await nats.connect(url)
    journal: Journal = BusJournal(Bus(connection)) if kind == "bus" else Forgetful()
    own = Own(Commands(NoSandbox(), Redactor([])), {charge.name: charge})
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await perform(Once(journal), own, json.loads(line))), flush=True)
    finally:
        await connection.close()


async def perform(once: Once, own: Own, job: dict[str, Any]) -> list[str]:
    """One step: its actions in order; what was told of each."""
    told = []
    for index in range(job["actions"]):
        call = _call(job, index)
        outcome = await once.run(call, lambda call=call: own.run(call))  # type: ignore[misc]
        told.append(outcome.failure or outcome.status)
    return told


def _call(job: dict[str, Any], index: int) -> Call:
    return Call(
        loop=job["loop"],
        iteration=1,
        index=index,
        attempt=job["attempt"],
        action=Action(tool=charge.name),
        goal=GOAL,
        tree=Path("/"),
        limits=Limits(),
        stop=asyncio.Event(),
    )


GOAL = playbook_goal()

if __name__ == "__main__":
    assert os.environ[LEDGER]
    asyncio.run(main(*sys.argv[1:]))
