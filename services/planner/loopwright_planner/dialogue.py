"""One planning attempt with a model: ask, step down the ladder, repair once, all within the grant.

Every call is paid for: its worst case must fit into what is left of the grant before it is made,
and what it used is taken off before anything of its answer is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from loopwright.budget import Usage
from loopwright.errors import ErrorInfo, StepError
from loopwright.events import PlanRequested
from loopwright.goal import OpenAI
from loopwright.plan import Making, Plan
from loopwright.service.llm.capabilities import STREAM, Capabilities, Features
from loopwright.service.llm.client import Call, CallFailedError, Told
from loopwright.service.llm.completion import Answer
from loopwright.service.llm.failures import of_finish
from loopwright.service.llm.fence import cut
from loopwright.service.llm.guarded import Asks
from loopwright.service.llm.spend import (
    MESSAGE_TOKENS,
    MIN_OUTPUT_TOKENS,
    Purse,
    TokenBound,
    Worst,
    one_per_byte,
)
from loopwright.service.step import Request
from loopwright_planner import texts
from loopwright_planner.core import Refused, read_plan
from loopwright_planner.prompt import RULES, Prompt, PromptTooLongError, Situation, write_prompt
from loopwright_planner.schema import plan_schema, response_format

log = structlog.get_logger()

#: Of an answer that could not be used, as much as its author is shown, in tokens.
SHOWN_TOKENS = 2000
#: An error's message in the log.
MAX_MESSAGE_CHARS = 2000
#: Kept of the time until the grant's deadline, to report in, in seconds.
REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class Repair:
    """An answer that could not be used, and why."""

    answer: str
    fault: Refused


@dataclass(slots=True)
class Dialogue:
    """The calls of one attempt and what they used."""

    request: Request[PlanRequested]
    spec: OpenAI
    situation: Situation
    llm: Asks
    capabilities: Capabilities
    timeout_s: float
    now: Callable[[], datetime]
    bound: TokenBound = one_per_byte
    told: Told | None = None
    """Where given, answers are streamed as far as the server streams, and this told of them."""
    purse: Purse = field(init=False)
    calls: int = 0
    prompt: Prompt | None = None
    """The newest that was sent."""

    def __post_init__(self) -> None:
        self.purse = Purse(self.request.grant.reserved, self.request.data.price)

    @property
    def usage(self) -> Usage:
        """What the calls so far used."""
        return self.purse.used

    async def plan(self) -> Plan:
        """A plan that may leave, or StepError; `usage` holds what it cost either way."""
        answered = self._read(await self._ask(None))
        if isinstance(answered, Plan):
            return answered
        log.info("the answer is repaired", kind=answered.fault.kind, why=answered.fault.message)
        try:
            repaired = self._read(await self._ask(answered))
        except _DoesNotFitError:
            repaired = answered
        if isinstance(repaired, Plan):
            return repaired
        raise StepError(repaired.fault.kind, repaired.fault.message[:MAX_MESSAGE_CHARS])

    def _read(self, answer: Answer) -> Plan | Repair:
        """The plan of an answer, or what to say against it; StepError if a repair cannot help."""
        if answer.fault is not None:
            raise _step_error(answer.fault)
        text, said = answer.text or "", of_finish(answer.finish_reason, answer.refusal)
        if said is not None and said.kind == "invalid_output":
            return Repair(text, Refused(said.kind, said.message))
        if said is not None:
            raise _step_error(said)
        goal = self.request.goal
        plan = read_plan(text, self.request.grant.tools, goal.verify.protected)
        if not isinstance(plan, Plan):
            return Repair(text, plan)
        return plan.model_copy(update={"made": self._making()})

    def _making(self) -> Making:
        """How the model was asked, for the log."""
        assert self.prompt is not None
        return Making(
            model=self.spec.model,
            format=self.capabilities.of(self.spec.model).format,
            calls=self.calls,
            limit=self.spec.max_input_tokens,
            sections=self.prompt.sections,
            prompts={RULES: texts.digest(RULES)},
            digest=self.prompt.digest,
        )

    async def _ask(self, repair: Repair | None) -> Answer:
        """One answer, stepping down the ladder of features where the server refuses one."""
        refused: ErrorInfo | None = None
        while True:
            features = self.capabilities.of(self.spec.model)
            try:
                call, worst = self._compose(features, repair)
            except _DoesNotFitError:
                if refused is None:
                    raise
                raise _step_error(refused) from None
            self.calls += 1
            try:
                answer = await self.llm.ask(call, self.request.stop)
            except CallFailedError as error:
                failure = error.failure
                if failure.costs:
                    self.purse.charge(None, worst)
                lower = features.without(failure)
                if lower is None:
                    raise _step_error(failure.info) from None
                log.info("the server refuses a feature", was=features, next=lower)
                self.capabilities.learn(self.spec.model, lower)
                refused = failure.info
            else:
                self.purse.charge(answer.usage, worst)
                if call.told and answer.usage is None and answer.fault is None:
                    log.info("the server's streams hold no usage; it is asked for whole answers")
                    self.capabilities.learn(self.spec.model, features.unstreamed())
                return answer

    def _compose(self, features: Features, repair: Repair | None) -> tuple[Call, Worst]:
        """The call and its worst case, which fits into what is left; _DoesNotFitError if none."""
        schema = plan_schema(self.request.grant.tools)
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        beside = self.bound(text) if features.format == "json_schema" else 0
        turns = self._repair_turns(repair)
        extra = beside + sum(self.bound(content) + MESSAGE_TOKENS for _, content in turns)
        prompt = self._write(extra, "" if beside else text)
        self.prompt = prompt
        tokens = prompt.tokens(self.bound) + extra
        output = self.purse.output_room(tokens, self.spec.max_output_tokens)
        if output < self._least_output:
            raise self._too_small(tokens)
        call = Call(
            model=self.spec.model,
            messages=(("system", prompt.system), ("user", prompt.user), *turns),
            max_output_tokens=output,
            cap=features.cap,
            timeout_s=self._time_left(),
            temperature=features.kept("temperature", self.spec.temperature),
            effort=features.kept("reasoning_effort", self.spec.effort),
            seed=features.kept("seed", self.spec.seed),
            response_format=_format(features, schema),
            told=None if STREAM in features.dropped else self.told,
        )
        return call, Worst(tokens, output)

    def _write(self, extra: int, schema: str) -> Prompt:
        """The prompt in the room that leaves a fair share for the answer, else the least one."""
        for output in (self.spec.max_output_tokens, self._least_output):
            try:
                return write_prompt(
                    self.situation, self._input_room(output) - extra, self.bound, schema=schema
                )
            except PromptTooLongError as error:
                needed = error.needed + extra
        raise self._too_small(needed)

    @property
    def _least_output(self) -> int:
        return min(MIN_OUTPUT_TOKENS, self.spec.max_output_tokens)

    def _input_room(self, output: int) -> int:
        return min(self.spec.max_input_tokens, self.purse.input_room(output))

    def _repair_turns(self, repair: Repair | None) -> tuple[tuple[str, str], ...]:
        if repair is None:
            return ()
        room = min(SHOWN_TOKENS, self._input_room(self.spec.max_output_tokens) // 4)
        said = texts.fill("repair_v1", fault=cut(repair.fault.message, room, self.bound))
        return ("assistant", cut(repair.answer, room, self.bound)), ("user", said)

    def _too_small(self, needed: int) -> StepError:
        """Nothing fits: the goal's own limit is too tight, or the budget is nearly spent."""
        if needed > self.spec.max_input_tokens:
            message = (
                f"the prompt needs at least {needed} tokens, counted as one a byte; "
                f"planner.max_input_tokens is {self.spec.max_input_tokens}: raise it"
            )
            return _DoesNotFitError("context_overflow", message)
        message = (
            f"a call needs {needed} tokens for its prompt and {MIN_OUTPUT_TOKENS} for its answer; "
            f"this attempt has {self.purse.tokens_left} tokens and "
            f"{self.purse.cost_left} micro-dollars left: raise budget.tokens or budget.usd"
        )
        return _DoesNotFitError("budget_too_small", message)

    def _time_left(self) -> float:
        left = (self.request.grant.deadline - self.now()).total_seconds() - REPORT_S
        if left <= 0 or self.request.stop.is_set():
            raise StepError("timeout", "no time is left for a model call before the deadline")
        return min(self.timeout_s, left)


class _DoesNotFitError(StepError):
    """No call fits into what is left of the grant."""


def _step_error(info: ErrorInfo) -> StepError:
    message = info.message[:MAX_MESSAGE_CHARS]
    return StepError(info.kind, message, retry_after_s=info.retry_after_s)


def _format(features: Features, schema: object) -> object:
    match features.format:
        case "json_schema":
            return response_format(schema)
        case "json_object":
            return {"type": "json_object"}
        case "text":
            return None
