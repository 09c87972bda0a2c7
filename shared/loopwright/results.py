"""What workers report: one result a step, answering one grant."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from loopwright.budget import Usage
from loopwright.errors import ErrorInfo
from loopwright.ids import LoopId
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.subjects import Role
from loopwright.wire import Wire


class PlanProposed(Wire):
    """The planner's plan."""

    kind: Literal["plan_proposed"] = "plan_proposed"
    plan: Plan


class ExecutionFinished(Wire):
    """The executor ran the plan; actions may have failed, and that is data."""

    kind: Literal["execution_finished"] = "execution_finished"
    outcome: Outcome


class VerdictReached(Wire):
    """The verifier judged the revision."""

    kind: Literal["verdict_reached"] = "verdict_reached"
    verdict: Verdict


class StepFailed(Wire):
    """The step itself failed; nothing of it counts."""

    kind: Literal["step_failed"] = "step_failed"
    error: ErrorInfo


class WorkerLost(Wire):
    """A redelivery found the attempt claimed: the worker that had it went silent."""

    kind: Literal["worker_lost"] = "worker_lost"


ResultBody = Annotated[
    PlanProposed | ExecutionFinished | VerdictReached | StepFailed | WorkerLost,
    Field(discriminator="kind"),
]


class Result(Wire):
    """The answer to a grant, as data of a CloudEvent on `result.<role>.<loop>`."""

    loop: LoopId
    role: Role
    iteration: int
    attempt: int
    grant_seq: int
    """Stream sequence of the event that granted the step."""
    worker: str
    """Name of the process, for people."""
    finished_at: datetime
    usage: Usage = Usage()
    body: ResultBody
