"""A worker whose steps are scripted: `python -m chaos.worker planner|executor|verifier`.

The shell around the steps (claim, heartbeat, deadline, result) is the product's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from chaos.meter import Meter, Reading
from chaos.script import Script, script, target, used
from loopwright.budget import NOTHING, Amount, Usage
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import ExecutionRequested, PlanRequested, RequestData, VerificationRequested
from loopwright.goal import Playbook
from loopwright.objects import Objects
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.results import (
    ExecutionFinished,
    PlanProposed,
    ResultBody,
    StepFailed,
    VerdictReached,
)
from loopwright.service.app import Process
from loopwright.service.role import run_role
from loopwright.service.settings import ServiceSettings, load
from loopwright.service.step import Performed, Request
from loopwright.subjects import Role
from loopwright.tools import Action

KINDS: dict[Role, type[RequestData]] = {
    "planner": PlanRequested,
    "executor": ExecutionRequested,
    "verifier": VerificationRequested,
}
#: Failures whose dependency says when to come again; the others have the product's own backoff.
WAITED_FOR = ("rate_limited", "overloaded", "timeout")


class WorkerSettings(ServiceSettings):
    """The product's settings, the run's seed, and where the meters are."""

    seed: int
    meters: Path


class ScriptedFaultError(Exception):
    """Not of the product's tree: a fault that nobody expects."""


@dataclass(frozen=True, slots=True)
class ScriptedStep:
    """Does what the script says, and meters it first."""

    seed: int
    meter: Meter

    async def perform(self, request: Request[Any]) -> Performed:
        """One attempt."""
        grant = request.grant
        plan = script(self.seed, request.loop, grant.role, grant.iteration, grant.attempt)
        amount = NOTHING if plan.refuses else uses(request, plan)
        self.meter.write(
            Reading(
                request.loop,
                grant.role,
                grant.iteration,
                grant.attempt,
                amount.tokens,
                amount.cost_microusd,
                amount.actions,
            )
        )
        if plan.refuses:
            raise StepError("invalid_arguments", "the script refuses this attempt")
        if plan.raises:
            raise ScriptedFaultError("the script raises in this attempt")
        return Performed(await self._body(request, plan), usage(amount))

    async def _body(self, request: Request[Any], plan: Script) -> ResultBody:
        try:
            await asyncio.wait_for(request.stop.wait(), plan.delay_s)
        except TimeoutError:
            pass
        else:
            return StepFailed(error=ErrorInfo(kind="timeout", message="the step was stopped"))
        if plan.fails is not None:
            wait_s = 0.2 if plan.fails in WAITED_FOR else None
            message = "the script says so"
            return StepFailed(
                error=ErrorInfo(kind=plan.fails, message=message, retry_after_s=wait_s)
            )
        match request.data:
            case PlanRequested():
                return proposed(request, plan)
            case ExecutionRequested():
                return executed(request, plan)
            case _:
                return judged(request, target(self.seed, request.loop))


def uses(request: Request[Any], plan: Script) -> Amount:
    """What this attempt uses of its grant."""
    if isinstance(request.data, ExecutionRequested):
        return Amount(actions=len(request.data.plan.actions))
    return used(request.grant.reserved, plan.share)


def usage(amount: Amount) -> Usage:
    """The same as a step reports it."""
    return Usage(
        input_tokens=amount.tokens, cost_microusd=amount.cost_microusd, actions=amount.actions
    )


def proposed(request: Request[Any], plan: Script) -> PlanProposed:
    """A plan that is like no other."""
    grant = request.grant
    run = f"touch {grant.iteration}-{grant.attempt}"
    action = Action(tool="shell", args={"run": run})
    rule = "work" if isinstance(request.goal.planner, Playbook) else None
    return PlanProposed(plan=Plan(summary=run, actions=(action,) * plan.actions, rule=rule))


def executed(request: Request[Any], plan: Script) -> ExecutionFinished:
    """The outcome of every action; the work of a successful attempt has its own revision."""
    status = "succeeded" if plan.succeeds else "failed"
    done = ActionOutcome.model_validate({"tool": "shell", "status": status})
    new = _digest(request.loop, request.grant.iteration, request.grant.attempt)
    old = request.data.revision or "0" * 40
    outcome = Outcome(
        revision=new if plan.succeeds else old,
        tree=new if plan.succeeds else None,
        succeeded=plan.succeeds,
        actions=(done,) * len(request.data.plan.actions),
    )
    return ExecutionFinished(outcome=outcome)


def judged(request: Request[Any], wanted: int) -> VerdictReached:
    """One check passes an iteration before the other."""
    iteration = request.grant.iteration
    passes = {"a": iteration >= wanted - 1, "b": iteration >= wanted}
    checks = tuple(
        CheckResult(name=name, status="passed" if good else "failed", message="the script says so")
        for name, good in passes.items()
    )
    revision = request.data.revision or "0" * 40
    return VerdictReached(verdict=Verdict(revision=revision, checks=checks, score=0))


def _digest(*parts: object) -> str:
    return hashlib.sha1("/".join(map(str, parts)).encode()).hexdigest()


def main(role: Role) -> None:
    """Serve until SIGTERM."""
    settings = load(WorkerSettings)

    async def make_step(_: Process, __: Objects) -> ScriptedStep:
        return ScriptedStep(settings.seed, Meter(settings.meters, role))

    run_role(role, KINDS[role], settings, make_step)


if __name__ == "__main__":
    names = {name: name for name in get_args(Role)}
    main(names[sys.argv[1]])
