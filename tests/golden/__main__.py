"""`make golden`: keep this version's logs, once, before it is released.

A folder that is there is never written again: what is in it was written by its version.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from family import Family
from loopwright.chain import LoopEvent
from loopwright.control import Cancel, Pause, Resume
from loopwright.testing import MemoryLog, playbook_goal
from simulation.check import IDS, STEPS, begin

HERE = Path(__file__).parent
#: As few worlds as show every kind of event and every state; so many are looked at.
LOOKED_AT = 400


def simulated(seed: int) -> list[tuple[int, LoopEvent]]:
    """The log of a simulated world's first loop, to its end."""
    watch = begin(seed)
    watch.cluster.world.run(watch.all_ended, STEPS)
    return list(watch.cluster.log.stored[IDS[0]])


def sealed(stored: list[tuple[int, LoopEvent]]) -> MemoryLog:
    """A simulated log with its real hash chain, at the sequences that its settlements name."""
    log = MemoryLog(IDS[0], iter([seq for seq, _ in stored]))
    for _, event in stored:
        log.append(event.data, at=event.time, expected=log.loop.tip if log.loop else 0)
    return log


def shown(log: MemoryLog) -> set[str]:
    """What a log is kept for."""
    replayed = MemoryLog(IDS[0], iter(log.seqs))
    found = set()
    for event in log.events:
        state = replayed.append(
            event.data, at=event.time, expected=replayed.loop.tip if replayed.loop else 0
        ).state
        found |= {f"state {state}", f"event {event.data.kind}"}
        found |= {f"word {event.data.control.kind}"} if event.data.control else set()
        found |= {f"settled {event.data.settles.status}"} if event.data.settles else set()
    if replayed.loop and replayed.loop.ended:
        found.add(f"ended {replayed.loop.ended}")
    return found


def of_a_family() -> dict[str, MemoryLog]:
    """The logs of a loop that waits for two below it, and of the better one."""
    children = {"pattern": "best_of", "children": [{"name": "a"}, {"name": "b"}]}
    family = Family(playbook_goal(pattern=children, budget={"iterations": 9, "time": 600}))
    family.begin()
    first, second = family.tables
    family.achieve(first)
    family.tell(first)
    second.work("a")
    family.root.say(Pause(id="pause-root"))
    family.cascade()
    family.root.say(Resume(id="resume-root"))
    family.cascade()
    second.say(Cancel(id="cancel-one"))
    family.tell(second)
    family.root.execute(), family.root.verdict("a", "b")
    return {"family": family.root.log, "child": first.log}


def keep(folder: Path, name: str, log: MemoryLog) -> None:
    """Write one log, and the state that it folds to."""
    lines = [
        json.dumps({"seq": seq, "body": body.decode()})
        for seq, body in zip(log.seqs, log.bodies, strict=True)
    ]
    (folder / f"{name}.ndjson").write_text("\n".join(lines) + "\n")
    assert log.loop is not None
    (folder / f"{name}.state.json").write_text(log.loop.model_dump_json(indent=1) + "\n")


def main() -> int:
    """Write the logs of this version."""
    folder = HERE / version("loopwright")
    if folder.exists():
        sys.stdout.write(f"{folder} is there; it is what that version wrote\n")
        return 0
    folder.mkdir()
    known: set[str] = set()
    for seed in range(1, LOOKED_AT):
        log = sealed(simulated(seed))
        if (new := shown(log) - known) and log.loop is not None:
            known |= new
            keep(folder, str(seed), log)
    for name, log in of_a_family().items():
        keep(folder, name, log)
    sys.stdout.write(f"{folder}: {', '.join(sorted(known))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
