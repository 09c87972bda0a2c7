"""A worker whose steps do nothing: `python -m benchmarks.worker executor|verifier`.

The shell around the steps (claim, heartbeat, deadline, span, metrics, result) is the product's own.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import Any

from loopwright.budget import Usage
from loopwright.events import ExecutionRequested, RequestData, VerificationRequested
from loopwright.objects import Objects
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Verdict
from loopwright.results import ExecutionFinished, VerdictReached
from loopwright.service.app import Process
from loopwright.service.role import run_role
from loopwright.service.settings import ServiceSettings, load
from loopwright.service.step import Performed, Request
from loopwright.subjects import Role

KINDS: dict[str, tuple[Role, type[RequestData]]] = {
    "executor": ("executor", ExecutionRequested),
    "verifier": ("verifier", VerificationRequested),
}


@dataclass(frozen=True, slots=True)
class NoStep:
    """Says at once that all went well; the check passes in the goal's last iteration."""

    async def perform(self, request: Request[Any]) -> Performed:
        """One attempt."""
        if isinstance(request.data, ExecutionRequested):
            return Performed(ExecutionFinished(outcome=_outcome(request)), Usage(actions=1))
        last = request.grant.iteration >= request.goal.budget.iterations
        check = CheckResult.model_validate(
            {"name": "done", "status": "passed" if last else "failed", "message": "no step"}
        )
        verdict = Verdict(revision=request.data.revision or "0" * 40, checks=(check,), score=0)
        return Performed(VerdictReached(verdict=verdict))


def _outcome(request: Request[Any]) -> Outcome:
    name = f"{request.loop}/{request.grant.iteration}"
    revision = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    done = ActionOutcome(tool="shell", status="succeeded", stdout=f"{request.grant.iteration:060}")
    return Outcome(revision=revision, tree=revision, succeeded=True, actions=(done,))


def main(name: str) -> None:
    """Serve until SIGTERM."""
    role, kind = KINDS[name]

    async def make_step(_: Process, __: Objects) -> NoStep:
        return NoStep()

    run_role(role, kind, load(ServiceSettings), make_step)


if __name__ == "__main__":
    main(sys.argv[1])
