"""The planner's step: a goal's playbook or its model gives the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from loopwright.approach import settings_by
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import Grant, PlanRequested
from loopwright.goal import CommandPlanner, OpenAI, Playbook
from loopwright.memory import Recalled
from loopwright.plan import Plan
from loopwright.planners import Rule
from loopwright.results import PlanProposed, StepFailed
from loopwright.service.gate import Gate, holder_of
from loopwright.service.limits import Limits
from loopwright.service.llm.capabilities import Capabilities
from loopwright.service.llm.client import Llm
from loopwright.service.llm.guarded import Asks, GuardedLlm
from loopwright.service.logs import Redactor
from loopwright.service.step import Performed, Request
from loopwright_planner.command import Programs
from loopwright_planner.core import plan_by_rule
from loopwright_planner.dialogue import Dialogue
from loopwright_planner.prompt import Situation
from loopwright_planner.recall import Recall, nothing_known
from loopwright_planner.telling import Tells
from loopwright_planner.view import Workspaces, look

log = structlog.get_logger()


def _utc() -> datetime:
    return datetime.now(UTC)


def adapted(spec: OpenAI, data: PlanRequested, grant: Grant) -> OpenAI:
    """The model's settings after what the loop has met, as its grant states them.

    A grant without an approach may come from an older coordinator: then overflows and the notice
    that the loop is stuck say it.
    """
    if data.approach is not None:
        return settings_by(spec, data.approach)
    changes: dict[str, object] = {}
    if grant.compact:
        changes["max_input_tokens"] = max(spec.max_input_tokens >> grant.compact, 1)
    if data.notice is not None and data.notice.temperature is not None:
        changes["temperature"] = data.notice.temperature
    return spec.model_copy(update=changes) if changes else spec


def _by_rule(rules: tuple[Rule, ...], request: Request[PlanRequested]) -> Performed:
    data, origin = request.data, request.goal.origin
    before = origin.failing if origin else ()
    plan = plan_by_rule(rules, data.verdict, data.rule_uses, before)
    return Performed(PlanProposed(plan=plan))


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Plans; keeps nothing between steps but what the models' servers were found to take."""

    workspaces: Workspaces
    llm: Llm
    llm_timeout_s: float
    programs: Programs | None = None
    """Where goals may name a program as their planner."""
    recall: Recall = field(default_factory=nothing_known)
    capabilities: Capabilities = field(default_factory=Capabilities)
    now: Callable[[], datetime] = _utc
    gate: Gate | None = None
    """The models' breakers; without it every call is made."""
    limits: Limits | None = None
    """The providers' limits, where the operator has set any."""
    redactor: Redactor = field(default_factory=lambda: Redactor([]))
    """Of the secrets that this process knows."""
    telling: Tells | None = None
    """Where given, answers are streamed and their progress is told."""

    async def perform(self, request: Request[PlanRequested]) -> Performed:
        """The plan that the goal's planner gives for this state."""
        data = request.data
        match request.goal.planner:
            case Playbook() as playbook:
                return _by_rule(playbook.rules, request)
            case CommandPlanner() as spec:
                if self.programs is None:
                    raise StepError("sandbox_unavailable", "this planner runs no programs")
                memories = await self.recall(request)
                plan = await self.programs.plan(request, spec, memories)
                return Performed(PlanProposed(plan=_with(plan, memories)))
            case OpenAI() as spec if data.approach and data.approach.kind == "playbook":
                return _by_rule(spec.playbook, request)
            case OpenAI() as spec:
                return await self._ask(request, spec)

    def _shared(self, request: Request[PlanRequested]) -> Asks:
        """The endpoint as all replicas share it."""
        if self.gate is None:
            return self.llm
        return GuardedLlm(self.llm, self.gate, holder_of(request), self.limits)

    async def _ask(self, request: Request[PlanRequested], spec: OpenAI) -> Performed:
        if self.llm.keyless:
            raise StepError(
                "auth", "the planner has no key: set OPENAI_API_KEY, or OPENAI_BASE_URL, or both"
            )
        spec = adapted(spec, request.data, request.grant)
        view = (await look(self.workspaces, request, spec)).without(self.redactor)
        memories = await self.recall(request)
        dialogue = Dialogue(
            request=request,
            spec=spec,
            situation=Situation(request.goal, request.grant, request.data, view, memories),
            llm=self._shared(request),
            capabilities=self.capabilities,
            timeout_s=self.llm_timeout_s,
            now=self.now,
            told=self.telling.of(request, spec.model) if self.telling else None,
        )
        try:
            plan = await dialogue.plan()
        except StepError as error:
            return Performed(StepFailed(error=error.info), dialogue.usage)
        except Exception as error:
            # A fault of this program must not hide what was spent before it.
            log.exception("unexpected fault in planning")
            info = ErrorInfo(
                kind="internal", message=f"unexpected {type(error).__name__} in planning"
            )
            return Performed(StepFailed(error=info), dialogue.usage)
        return Performed(PlanProposed(plan=_with(plan, memories)), dialogue.usage)


def _with(plan: Plan, memories: Sequence[Recalled]) -> Plan:
    """The plan with the memories that it was made with, so that the log says why."""
    if not memories:
        return plan
    return plan.model_copy(update={"recalled": tuple(item.id for item in memories)})
