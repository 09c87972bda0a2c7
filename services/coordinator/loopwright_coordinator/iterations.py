"""Between two iterations: achieved, a limit, stuck, a person's word, or round again. Pure."""

from __future__ import annotations

from datetime import datetime

from loopwright.checks import ApprovalCheck
from loopwright.events import Brief, LoopHeld, Settlement, Wanted
from loopwright.iteration import finish_iteration
from loopwright.loop import Loop
from loopwright.plan import Outcome, Plan, Verdict
from loopwright_coordinator import stuck
from loopwright_coordinator.exits import Exit, end, exhausted, expiry, out_of_budget
from loopwright_coordinator.inputs import Append
from loopwright_coordinator.steps import plan_step

#: Changed paths that a person is shown.
BRIEF_CHANGES = 20


def next_iteration(
    after: Loop,
    settles: Settlement,
    now: datetime,
    nonce: str,
    *,
    outcome: Outcome | None = None,
    verdict: Verdict | None = None,
) -> Append:
    """Accept the iteration's verdict or failed outcome: achieved, exhausted, or round again."""
    folded = finish_iteration(after, verdict, outcome, now)
    execution = outcome if verdict is None else None
    met = _achieved(after, verdict)
    if met is not None and verdict is not None:
        if _wants_a_person(after):
            wanted = Wanted(kind="result", of=verdict.revision, brief=brief_of(folded, verdict))
            return Append(ask(folded, settles, wanted, now, None, verdict))
        return Append(end(folded, now, met, settles=settles, verdict=verdict))
    over = exhausted(folded, now)
    if over is not None:
        return Append(
            out_of_budget(folded, now, over, settles=settles, verdict=verdict, execution=execution)
        )
    found = stuck.answer(folded)
    if isinstance(found, Exit):
        ended = end(folded, now, found, settles=settles, verdict=verdict, execution=execution)
        return Append(ended)
    return plan_step(folded, settles, now, nonce, attempt=1, notice=found)


def _achieved(loop: Loop, verdict: Verdict | None) -> Exit | None:
    """The one way to `achieved`: the verifier's evidence that every required check passes."""
    if verdict is None or not loop.goal.required_checks <= verdict.passed:
        return None
    detail = f"every required check passes on revision {verdict.revision[:12]}"
    return Exit("achieved", "verified", detail)


def _wants_a_person(loop: Loop) -> bool:
    asked = any(isinstance(check, ApprovalCheck) for check in loop.goal.verify.checks)
    return asked or "result" in loop.goal.approvals


def brief_of(loop: Loop, verdict: Verdict | None, plan: Plan | None = None) -> Brief:
    """What a person needs to decide on a plan or a result."""
    checks, shown = loop.goal.verify.checks, plan or loop.plan
    people = {check.name for check in checks if isinstance(check, ApprovalCheck)}
    return Brief(
        questions=tuple(check.ask for check in checks if isinstance(check, ApprovalCheck)),
        summary=shown.summary if shown else "",
        passed=tuple(c.name for c in verdict.checks if c.status == "passed") if verdict else (),
        failed=tuple(n for n in verdict.failing if n not in people) if verdict else (),
        changes=verdict.changes[:BRIEF_CHANGES] if verdict else (),
        changed_paths=verdict.changed_paths if verdict else 0,
        iteration=loop.iteration,
        spent=loop.spent,
    )


def ask(
    loop: Loop,
    settles: Settlement,
    wanted: Wanted,
    now: datetime,
    plan: Plan | None,
    verdict: Verdict | None = None,
) -> LoopHeld:
    """Wait for a person's word on a plan or a result, or for the answer to a plan's question."""
    match wanted.kind:
        case "plan":
            what, way = f"the plan {wanted.of} waits for approval", ""
        case "result":
            what, way = f"the result {wanted.of[:12]} waits for approval", ""
        case "question":
            what, way = f"the planner asks: {plan.question if plan else ''}", ' --reason "…"'
    detail = f"{what}; answer with: loopwright approve {loop.id}{way} (or reject)"
    return LoopHeld(
        settles=settles,
        hold="awaiting_approval",
        until=expiry(loop, now),
        reason="hold_expired",
        detail=detail,
        wanted=wanted,
        plan=plan,
        verdict=verdict,
    )
