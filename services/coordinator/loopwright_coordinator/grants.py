"""Granting a step and closing a grant: reserve before it is spent, settle after. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from loopwright.approach import settings_by
from loopwright.budget import NOTHING, Amount
from loopwright.errors import ErrorInfo
from loopwright.events import Grant, Settlement, SettlementStatus
from loopwright.goal import OpenAI
from loopwright.loop import Loop
from loopwright.plan import Plan
from loopwright.results import Result
from loopwright.subjects import Role


def grant_plan(loop: Loop, reserved: Amount, now: datetime, nonce: str, attempt: int) -> Grant:
    """Leave to plan, in the loop's next or present iteration."""
    iteration = loop.iteration if attempt > 1 else loop.iteration + 1
    grant = _grant(loop, "planner", iteration, attempt, now, nonce)
    more = {"reserved": reserved, "models": planning_models(loop), "tools": loop.goal.tools}
    return grant.model_copy(update={**more, "compact": loop.compact})


def planning_models(loop: Loop) -> tuple[str, ...]:
    """The models that the loop plans with; none where rules plan."""
    spec, approach = loop.goal.planner, loop.approach
    if not isinstance(spec, OpenAI) or (approach and approach.kind == "playbook"):
        return ()
    return (settings_by(spec, approach).model,)


def grant_execution(loop: Loop, plan: Plan, now: datetime, nonce: str, attempt: int) -> Grant:
    """Leave to run the plan's actions; none of them where loops are joined."""
    grant = _grant(loop, "executor", loop.iteration, attempt, now, nonce)
    reserved = NOTHING if loop.join is not None else Amount(actions=len(plan.actions))
    return grant.model_copy(update={"reserved": reserved, "tools": loop.goal.tools})


def grant_verification(
    loop: Loop, reserved: Amount, now: datetime, nonce: str, attempt: int
) -> Grant:
    """Leave to judge the revision."""
    grant = _grant(loop, "verifier", loop.iteration, attempt, now, nonce)
    models = dict.fromkeys(map(loop.goal.judge_model, loop.goal.judges))
    return grant.model_copy(update={"reserved": reserved, "models": tuple(models)})


def _grant(
    loop: Loop, role: Role, iteration: int, attempt: int, now: datetime, nonce: str
) -> Grant:
    limits = loop.limits
    seconds = {
        "planner": limits.plan_time,
        "executor": limits.execute_time,
        "verifier": limits.verify_time,
    }
    return Grant(
        role=role,
        iteration=iteration,
        attempt=attempt,
        token_digest=token_digest(nonce),
        deadline=min(now + timedelta(seconds=seconds[role]), loop.deadline),
        limits=loop.amended_limits,
    )


def token_digest(token: str) -> str:
    """What a grant's body says of the token that travels in its header."""
    return hashlib.sha256(token.encode()).hexdigest()


def settle_result(loop: Loop, result: Result, error: ErrorInfo | None) -> Settlement:
    """Close the open grant with its worker's result: charge what was really used."""
    usage = result.usage
    charged = Amount(tokens=usage.tokens, cost_microusd=usage.cost_microusd, actions=usage.actions)
    reserved = loop.open.grant.reserved if loop.open else NOTHING
    return Settlement(
        role=result.role,
        iteration=result.iteration,
        attempt=result.attempt,
        grant_seq=result.grant_seq,
        status="failed" if error else "done",
        usage=usage,
        charged=charged,
        overrun=charged.exceeds(reserved),
        error=error,
        worker=result.worker,
    )


def settle_unheard(
    loop: Loop, status: SettlementStatus, error: ErrorInfo | None = None, worker: str | None = None
) -> Settlement | None:
    """Close the open grant without a result: charged in full, unless nothing was started."""
    if loop.open is None:
        return None
    grant = loop.open.grant
    return Settlement(
        role=grant.role,
        iteration=grant.iteration,
        attempt=grant.attempt,
        grant_seq=loop.open.seq,
        status=status,
        charged=NOTHING if status == "not_started" else grant.reserved,
        error=error,
        worker=worker,
    )
