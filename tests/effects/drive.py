"""Gives steps to workers, kills workers in the middle, and reads the ledger afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effects.tool import LEDGER
from loopwright.ids import new_loop_id

TESTS = Path(__file__).parents[1]
ACTIONS = 20
#: A step that is given up: the journal's answers must come long before, in seconds.
STEP_S = 120.0


@dataclass
class Figures:
    """What was done and what was found wrong."""

    executions: int = 0
    kills: int = 0
    unknown: int = 0
    retold: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass
class Drive:
    """Runs steps until there are enough executions and enough kills."""

    url: str
    ledger: Path
    executions: int
    kills: int
    seed: int
    journal: str = "bus"
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.steps = 0
        self.told: dict[str, list[str]] = {}

    async def run(self, workers: int = 2) -> Figures:
        """Everything; violations stand in the figures."""
        await asyncio.gather(*(self._lane() for _ in range(workers)))
        self._check()
        return self.figures

    def _more(self) -> bool:
        wanted = self.figures.kills < self.kills or self._done() < self.executions
        return wanted and self.steps < 100 + 4 * self.executions // ACTIONS

    def _done(self) -> int:
        return self.ledger.stat().st_size // 33 if self.ledger.exists() else 0

    async def _lane(self) -> None:
        """One worker at a time; another where it was killed."""
        worker = await self._start()
        try:
            while self._more():
                self.steps += 1
                job: dict[str, Any] = {"loop": new_loop_id(), "actions": ACTIONS, "attempt": 1}
                while (told := await self._give(worker, job)) is None:
                    self.figures.kills += 1
                    job["attempt"] += 1
                    worker = await self._start()
                self.told[str(job["loop"])] = told
                self.figures.retold += ACTIONS if job["attempt"] > 1 else 0
        finally:
            await _end(worker)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "effects.worker", self.url, self.journal,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            cwd=TESTS, env={**os.environ, LEDGER: str(self.ledger)},
        )  # fmt: skip

    async def _give(
        self, worker: asyncio.subprocess.Process, job: dict[str, Any]
    ) -> list[str] | None:
        """What the worker told of the step's actions; None where it was killed before."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        before = self._done()
        worker.stdin.write(f"{json.dumps(job)}\n".encode())
        answer = asyncio.ensure_future(worker.stdout.readline())
        async with asyncio.timeout(STEP_S):
            if job["attempt"] == 1 and self._is_to_die():
                after = before + self.random.randint(1, ACTIONS)
                while self._done() < after and not answer.done():
                    await asyncio.sleep(0.0005)
                if not answer.done():
                    worker.kill()
            line = await answer
        if not line:
            await worker.wait()
            return None
        return list(json.loads(line))

    def _is_to_die(self) -> bool:
        left = max(1, self.executions - self._done()) / ACTIONS
        return self.random.random() < 1.5 * (self.kills - self.figures.kills) / left

    def _check(self) -> None:
        happened = Counter(self.ledger.read_text().split())
        figures = self.figures
        figures.executions = happened.total()
        figures.violations += [f"{key} happened {n} times" for key, n in happened.items() if n > 1]
        outcomes = Counter(word for told in self.told.values() for word in told)
        figures.unknown = outcomes["outcome_unknown"]
        strange = set(outcomes) - {"succeeded", "outcome_unknown"}
        figures.violations += [f"an action was told as {word}" for word in strange]
        least, most = outcomes["succeeded"], outcomes["succeeded"] + figures.unknown
        if not least <= len(happened) <= most:
            figures.violations.append(
                f"{len(happened)} effects, but {least} were told and {most - least} unknown"
            )


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        assert worker.stdin is not None
        worker.stdin.close()
        try:
            await asyncio.wait_for(worker.wait(), 30)
        except TimeoutError:
            worker.kill()
            await worker.wait()
