"""From the state of a loop to the messages of a prompt, never larger than its limit. Pure.

The rules, the objective and the limits are always there, the checks in up to half of the room
beside them, what people hint and that the loop is stuck in up to a quarter. These are words of the
goal, of people and of the coordinator. All else is data in fences, in sections that `context` fits:
the evidence of failing checks, failed approaches, the last iteration verbatim, facts, the history
(its older part compacted), the list of files; the texts of files take the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loopwright.approach import Strategy
from loopwright.errors import LoopwrightError
from loopwright.events import Grant, IterationSummary, PlanRequested
from loopwright.goal import Goal, digest_of
from loopwright.memory import Recalled
from loopwright.plan import Outcome, Plan, SectionUse, Verdict
from loopwright.service.llm.fence import Block, cut, mark_of
from loopwright.service.llm.spend import MESSAGE_TOKENS, TokenBound
from loopwright.tools import TOOLS
from loopwright_planner import texts
from loopwright_planner.context import NO_MARK, Section, fit
from loopwright_planner.schema import signature
from loopwright_planner.view import View

#: The text of the rules.
RULES = "plan_v2"
#: Iterations that are told a line each, the newest; those before them share one.
WHOLE = 12
#: What the planner is told to do differently, besides that it is stuck.
_STRATEGIES: dict[Strategy, str] = {
    "inspect": "Nothing of the last plans was kept. Look first: read, or run what shows the cause "
    'with "allow_failure": true. Change things in a later plan.',
    "restore": "The last iteration broke checks that passed before. Mend those first.",
    "rethink": "",
}


class PromptTooLongError(LoopwrightError):
    """What must be in a prompt is more than its limit; `needed` tokens would do."""

    def __init__(self, needed: int, limit: int) -> None:
        self.needed = needed
        super().__init__(f"the rules and the objective need {needed} tokens, {limit} are allowed")


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a plan is made from."""

    goal: Goal
    grant: Grant
    data: PlanRequested
    view: View
    memories: tuple[Recalled, ...] = ()
    """What earlier loops have learned that fits, the best first."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The two messages that ask for a plan."""

    system: str
    user: str
    sections: tuple[SectionUse, ...] = ()
    """What there was to show, and what of it is in the second message."""

    @property
    def digest(self) -> str:
        """`sha256:…` of both messages."""
        return digest_of([self.system, self.user])

    def tokens(self, bound: TokenBound) -> int:
        """An upper bound of both, with what a chat template adds."""
        return bound(self.system) + bound(self.user) + 2 * MESSAGE_TOKENS


def write_prompt(
    situation: Situation, limit: int, bound: TokenBound, *, schema: str = ""
) -> Prompt:
    """The prompt within `limit` tokens; PromptTooLongError where what must be in it is more.

    `schema` is stated in the prompt for servers that take none beside it.
    """
    system = _system(situation)
    if schema:
        system += texts.fill("schema_v1", schema=schema)
    pinned = _pinned(situation)
    least = Prompt(system, _user(pinned, (), NO_MARK)).tokens(bound)
    if least > limit:
        raise PromptTooLongError(least, limit)
    checks = cut(_checks(situation.goal), (limit - least) // 2, bound)
    said = cut(_said(situation.data), (limit - least) // 4, bound)
    found = fit(_sections(situation), limit - least - bound(checks) - bound(said), bound)
    user = _user(pinned + checks + said, found.blocks, mark_of(found.blocks))
    return Prompt(system, user, found.uses)


def _system(situation: Situation) -> str:
    tools = [signature(spec) for spec in TOOLS.values() if spec.group in situation.grant.tools]
    return texts.fill(RULES, tools="\n".join(tools) or "none", limits="\n".join(_limits(situation)))


def _limits(situation: Situation) -> Iterator[str]:
    goal, data = situation.goal, situation.data
    iteration, most = situation.grant.iteration, goal.budget.iterations
    yield f"- This is iteration {iteration} of at most {most}."
    yield (
        f"- An action may take {goal.limits.action_time:g} s, {goal.limits.memory_mb} MiB of "
        f"memory and print {goal.limits.output_kb} KiB; commands have no network."
    )
    if goal.budget.actions is not None and len(data.history) == iteration - 1:
        used = sum(item.spent.actions for item in data.history)
        yield f"- {max(0, goal.budget.actions - used)} actions are left for the whole loop."


def _pinned(situation: Situation) -> str:
    goal = situation.goal
    lines = ["Objective", goal.objective.strip()]
    if goal.constraints:
        lines += ["", "Constraints", *(f"- {item}" for item in goal.constraints)]
    if goal.verify.protected:
        lines += ["", f"Protected: {', '.join(goal.verify.protected)}"]
    return "\n".join([*lines, "", "Checks; those that are required must all pass", ""])


def _said(data: PlanRequested) -> str:
    """What the loop's keepers say to the planner: that it is stuck, and what people hint."""
    lines = []
    if data.notice is not None:
        stuck = f"This loop is stuck: {data.notice.detail}."
        lines += ["", f"{stuck} Do not do the same again; try another approach."]
    strategy = data.approach.strategy if data.approach else None
    if strategy and _STRATEGIES[strategy]:
        lines += ["", _STRATEGIES[strategy]]
    if data.hints:
        lines += ["", "What people said since the last plan", *(f"- {h}" for h in data.hints)]
    return "\n".join(["", *lines]) if lines else ""


def _user(pinned: str, blocks: Sequence[Block], mark: str) -> str:
    fenced = "".join(block.fenced(mark) for block in blocks)
    named = f"\n\nThe mark of data blocks in this message is {mark}.\n"
    return f"{pinned}{named}{fenced}\nPropose the plan for this iteration as one JSON object.\n"


def _sections(situation: Situation) -> Iterator[Section]:
    """Everything worth showing, most important first, with its share of what is left."""
    for name, share, blocks in _parts(situation):
        found = tuple(block for block in blocks if block.text)
        if found:
            yield Section(name, share, found)


def _parts(situation: Situation) -> Iterator[tuple[str, float, list[Block]]]:
    data, origin = situation.data, situation.goal.origin
    evidence = _evidence(data.verdict) if data.verdict else ""
    yield "evidence", 0.5, [Block("Evidence of the checks that do not pass", "", evidence)]
    tried = "\n".join(_failed(data.history))
    yield "failed", 0.2, [Block("Approaches that failed: do not repeat them", "", tried)]
    did = _outcome(data.outcome) if data.outcome else ""
    last = _plan(data.plan) if data.plan else ""
    yield (
        "last",
        0.4,
        [Block("What the last actions did", "", did), Block("The last plan", "", last)],
    )
    told = "\n\n".join(_memory(item) for item in situation.memories)
    heading = "What earlier loops have learned, the most fitting first"
    yield "facts", 0.3, [Block(heading, "", told)]
    history = "\n".join(_history(data.history))
    yield "history", 0.4, [Block("Iterations so far, newest first", "", history)]
    before = "\n".join(reversed(origin.history)) if origin else ""
    heading = "What was done before this loop was forked, newest first"
    yield "origin", 0.3, [Block(heading, "", before)]
    listing = "\n".join(f"{size:>9} {json.dumps(path)}" for path, size in situation.view.listing)
    heading = "Files of the workspace: bytes and path"
    yield "map", 0.3, [Block(heading, "", listing or "there are none")]
    yield "files", 1.0, [Block("File", path, text) for path, text in situation.view.files]


def _failed(history: Sequence[IterationSummary]) -> Iterator[str]:
    """What was tried and kept nothing, or broke something; each once, newest first."""
    seen: set[str] = set()
    for item in reversed(history):
        broke = f"broke {', '.join(item.turned_red)}" if item.turned_red else ""
        why = broke if item.executed else item.note
        if why and item.summary not in seen:
            seen.add(item.summary)
            yield f"{item.iteration}: {item.summary}: {why}"


def _history(history: Sequence[IterationSummary]) -> Iterator[str]:
    """The newest iterations a line each; those before them together in one."""
    yield from (_summary(item) for item in reversed(history[-WHOLE:]))
    older = history[:-WHOLE]
    if older:
        scores = [item.score for item in older if item.score is not None]
        best = f"best score {max(scores):.2f}" if scores else "no score"
        lost = sum(not item.executed for item in older)
        yield f"{older[0].iteration}-{older[-1].iteration}: {best}; {lost} of them kept nothing"


def _memory(item: Recalled) -> str:
    return f"[{item.id}, believed {item.confidence:.1f}] {item.text}"


def _checks(goal: Goal) -> str:
    return "\n".join(
        json.dumps(
            check.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False
        )
        for check in goal.verify.checks
    )


def _evidence(verdict: Verdict) -> str:
    parts = []
    for check in verdict.checks:
        if check.status != "passed":
            code = "" if check.exit_code is None else f" (exit code {check.exit_code})"
            parts.append(f"{check.name}: {check.status}{code}: {check.message}\n{check.excerpt}")
    return "\n".join(parts)


def _outcome(outcome: Outcome) -> str:
    state = "succeeded" if outcome.succeeded else "failed, so that nothing of it remains"
    lines = [f"the iteration's actions {state}"]
    for action in outcome.actions:
        code = "" if action.exit_code is None else f" (exit code {action.exit_code})"
        why = f": {action.failure}" if action.failure else ""
        lines.append(f"{action.tool}: {action.status}{code}{why}")
        lines += [text for text in (action.stdout, action.stderr) if text]
    return "\n".join(lines)


def _plan(plan: Plan) -> str:
    actions = [action.model_dump(mode="json", exclude_defaults=True) for action in plan.actions]
    return json.dumps({"summary": plan.summary, "actions": actions}, ensure_ascii=False)


def _summary(item: IterationSummary) -> str:
    if not item.executed:
        return f"{item.iteration}: failed: {item.note}; plan: {item.summary}"
    score = "unknown" if item.score is None else f"{item.score:.2f}"
    turned = "".join(
        f"; {word}: {', '.join(names)}"
        for word, names in (("now pass", item.turned_green), ("broke", item.turned_red))
        if names
    )
    checks = f"{item.passed} of {item.checks} checks pass"
    return f"{item.iteration}: score {score}, {checks}{turned}; plan: {item.summary}"
