"""The goal: what a person writes. Unknown fields are errors at their path."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, ValidationError

from loopwright.budget import Budget
from loopwright.checks import JudgeCheck, Verify
from loopwright.checks.faults import verify_faults
from loopwright.errors import Fault, GoalInvalidError
from loopwright.ids import LoopId
from loopwright.origin import Origin
from loopwright.outside import McpServer, Network, SecretName, outside_faults
from loopwright.planners import CommandPlanner as CommandPlanner
from loopwright.planners import OpenAI as OpenAI
from loopwright.planners import Planner
from loopwright.planners import Playbook as Playbook
from loopwright.planners import Rule as Rule
from loopwright.spawn import Nesting, Spawn
from loopwright.tools import (
    DEFAULT_TOOLS,
    Isolation,
    action_faults,
    plan_faults,
    tool_groups,
)
from loopwright.wire import Json, Seconds, Written
from loopwright.wording import fault_of

#: Models that judge where the goal names none: the first that is not the planner's.
JUDGE_MODELS = ("gpt-4o", "gpt-4.1-mini")
_COSTS = "a model costs: set budget.usd, budget.tokens or both"
#: What a workspace can begin with, and what of it only the submitter's machine can read.
_SOURCES = ("folder", "files", "git", "archive", "revision")
_LOCAL = {"folder": "a folder", "git": "a repository", "archive": "an archive"}
_REVISION = re.compile(r"^[0-9a-f]{40}$")


class Workspace(Written):
    """What the loop starts from. Give one of these, or none for an empty workspace."""

    folder: str | None = None
    """A folder beside the goal file; the SDK packs it."""
    files: dict[str, str] | None = None
    """Small text files, path to content."""
    git: str | None = Field(
        default=None, pattern=r"^[^-\s][^\s]*$", max_length=2000, exclude_if=lambda v: v is None
    )
    """A git repository: an address, or a folder beside the goal file; the SDK fetches it."""
    ref: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200,
        exclude_if=lambda v: v is None,
    )  # fmt: skip
    """Which revision of `git`: a branch, a tag or a whole commit id; its HEAD otherwise."""
    archive: str | None = Field(default=None, min_length=1, exclude_if=lambda v: v is None)
    """A zip or tar archive beside the goal file; the SDK packs what it holds."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """A packed workspace in the object store; written by the SDK."""


class Limits(Written):
    """Limits of one step and one action; the budget's are of the whole loop."""

    attempts: int = Field(default=3, ge=1, le=20)
    """Failures in a row, of any step, before the loop ends as failed."""
    patience: Seconds = 3600.0
    """How long a dependency that is down, busy or out of reach is waited for."""
    plan_time: Seconds = 300.0
    execute_time: Seconds = 900.0
    verify_time: Seconds = 900.0
    action_time: Seconds = 120.0
    memory_mb: int = Field(default=1024, ge=32, le=65_536)
    """Per action and per check."""
    processes: int = Field(default=64, ge=1, le=4096)
    output_kb: int = Field(default=4096, ge=1, le=1_048_576)
    """Standard output and error together; more ends the action."""
    disk_mb: int = Field(default=512, ge=1, le=65_536)
    """What an action may add to the workspace."""
    events: int = Field(default=50_000, ge=10, le=1_000_000)
    """Events of the loop's log; at the cap it ends as failed."""
    hold_time: Seconds = 86_400.0
    """How long the loop waits for a person (a budget, an approval, a blocked step)."""


class Stuck(Written):
    """When a loop is taken to be stuck: it is told so, then planned otherwise, then ended."""

    repeats: int = Field(default=3, ge=2, le=20)
    """So often the same actions with the same observations, or the same error, in a row."""
    patience: int = Field(default=8, ge=2, le=1000)
    """Iterations without a better score."""
    polls: tuple[str, ...] = Field(default=(), max_length=50)
    """Patterns of actions (`shell curl *`, `http.get *`) that may repeat: they wait for
    something. An iteration of nothing else counts for nothing here."""


class Notify(Written):
    """Tell somebody: a POST with a signature, delivered at least once."""

    on: tuple[Literal["hold", "approval", "warning", "end"], ...] = ("hold", "approval", "end")
    webhook: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000)
    """Where to; private addresses only where the installation allows the host."""


class Goal(Written):
    """A loop's objective, how to verify it, and what it may spend."""

    version: Literal[1] = 1
    id: LoopId | None = None
    """The loop's id, a ULID; submitting the same id twice yields one loop."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")
    objective: str = Field(min_length=1, max_length=20_000)
    constraints: tuple[str, ...] = Field(default=(), max_length=100)
    workspace: Workspace = Workspace()
    planner: Planner
    tools: tuple[str, ...] = DEFAULT_TOOLS
    """Tool groups that plans may use; what reaches out of the workspace must be named."""
    network: Network = Field(default=Network(), exclude_if=lambda value: not value.allow)
    """Where actions may connect to."""
    mcp: tuple[McpServer, ...] = Field(
        default=(), max_length=20, exclude_if=lambda value: not value
    )
    """MCP servers that actions may call."""
    secrets: tuple[SecretName, ...] = Field(
        default=(), max_length=50, exclude_if=lambda value: not value
    )
    """Secrets of the installation that this goal's headers and servers may use, by name."""
    min_isolation: Isolation = Field(default="none", exclude_if=lambda value: value == "none")
    """What must keep commands in; where that cannot be had, they are refused."""
    unknown_outcome: Literal["tell", "hold"] = Field(
        default="tell", exclude_if=lambda value: value == "tell"
    )
    """When nobody knows how an action ended that must not be done twice: tell the planner, or
    wait for a person first."""
    verify: Verify
    budget: Budget = Budget()
    on_exhausted: Literal["hold", "stop"] = "hold"
    """When a budget is used up: wait for an amendment until the hold expires, or end."""
    approvals: tuple[Literal["plan", "result"], ...] = ()
    """What a person must approve: each plan before it is run, the result before it counts."""
    stuck: Stuck = Stuck()
    notify: tuple[Notify, ...] = Field(default=(), max_length=10)
    limits: Limits = Limits()
    origin: Origin | None = Field(default=None, exclude_if=lambda value: value is None)
    """Where a forked loop begins; `loopwright fork` writes it."""
    pattern: Spawn | None = Field(default=None, exclude_if=lambda value: value is None)
    """Loops to begin with, instead of a first plan: a race, the best of some, one for each item."""
    nesting: Nesting = Field(default=Nesting(), exclude_if=lambda value: value == Nesting())
    """How many loops may be started below this one."""

    def digest(self) -> str:
        """`sha256:…` of the goal's canonical JSON, its id left out."""
        return digest_of(self.model_dump(mode="json", exclude={"id"}, by_alias=True))

    @property
    def check_names(self) -> tuple[str, ...]:
        """Every check's name, in the goal's order."""
        return tuple(check.name for check in self.verify.checks)

    @property
    def required_checks(self) -> frozenset[str]:
        """The names that must all pass by the verifier's evidence; a person's word comes after."""
        return frozenset(
            check.name
            for check in self.verify.checks
            if check.required and check.kind != "approval"
        )

    def score(self, passed: frozenset[str]) -> float:
        """Weight of the checks that passed by the weight of all that the verifier decides."""
        decided = [check for check in self.verify.checks if check.kind != "approval"]
        won = sum(check.weight for check in decided if check.name in passed)
        return won / sum(check.weight for check in decided)

    @property
    def judges(self) -> tuple[JudgeCheck, ...]:
        """The checks that a model decides."""
        return tuple(check for check in self.verify.checks if isinstance(check, JudgeCheck))

    def judge_model(self, check: JudgeCheck) -> str:
        """The model that judges: the check's own, else one that is not the planner's."""
        if check.model is not None:
            return check.model
        own = self.planner.model if isinstance(self.planner, OpenAI) else None
        return next(model for model in JUDGE_MODELS if model != own)


def digest_of(value: Json) -> str:
    """`sha256:…` of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse_goal(data: object, *, packed: bool = False) -> Goal:
    """A goal from JSON-like data, or GoalInvalidError with every fault at its path.

    `packed` goals have come over the wire: nothing in them may name a folder any more.
    """
    try:
        goal = (
            Goal.model_validate(data)
            if not isinstance(data, str | bytes)
            else Goal.model_validate_json(data)
        )
    except ValidationError as error:
        raise GoalInvalidError(
            [fault_of(item) for item in error.errors(include_url=False)]
        ) from error
    faults = [*goal_faults(goal), *(_unpacked(goal) if packed else [])]
    if faults:
        raise GoalInvalidError(faults)
    return goal


def goal_faults(goal: Goal) -> list[Fault]:
    """What no single field can say: names that do not fit together, loops that cannot start."""
    from loopwright.children import goal_spawn_faults  # it makes goals itself

    return own_faults(goal) or goal_spawn_faults(goal)


def own_faults(goal: Goal) -> list[Fault]:
    """What is wrong with a goal, the loops that it starts apart."""
    return [
        *_duplicates("verify.checks", goal.check_names),
        *_workspace_faults(goal.workspace),
        *_tool_faults(goal),
        *outside_faults(goal.network, goal.mcp, goal.tools),
        *verify_faults(goal.verify),
        *_judge_faults(goal),
        *_planner_faults(goal),
    ]


def _duplicates(path: str, names: Iterable[str]) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for index, name in enumerate(names):
        if name in seen:
            faults.append(
                Fault(
                    path=f"{path}[{index}].name",
                    message=f"'{name}' is used twice; names are unique",
                )
            )
        seen.add(name)
    return faults


def _workspace_faults(workspace: Workspace) -> list[Fault]:
    given = [name for name in _SOURCES if getattr(workspace, name) is not None]
    faults = []
    if len(given) > 1:
        message = f"give one of {' and '.join(given)}, not both"
        faults.append(Fault(path="workspace", message=message))
    if workspace.ref is not None and workspace.git is None:
        faults.append(Fault(path="workspace.ref", message="`ref` is of `git`, which is not given"))
    return faults


def _unpacked(goal: Goal) -> list[Fault]:
    faults = []
    for name in _LOCAL:
        if getattr(goal.workspace, name) is None:
            continue
        message = (
            f"{_LOCAL[name]} cannot travel; submit with the loopwright command or the SDK, or "
            "give `files`"
        )
        faults.append(Fault(path=f"workspace.{name}", message=message))
    held_out = goal.verify.held_out
    if held_out is not None and not _REVISION.match(held_out):
        message = "a folder cannot travel; submit with the loopwright command or the SDK"
        faults.append(Fault(path="verify.held_out", message=message))
    return faults


def _tool_faults(goal: Goal) -> list[Fault]:
    known = ", ".join(tool_groups())
    return [
        Fault(path=f"tools[{index}]", message=f"'{name}' is no tool; there are: {known}")
        for index, name in enumerate(goal.tools)
        if name not in tool_groups()
    ]


def _judge_faults(goal: Goal) -> list[Fault]:
    faults = []
    own = goal.planner.model if isinstance(goal.planner, OpenAI) else None
    for index, check in enumerate(goal.verify.checks):
        if not isinstance(check, JudgeCheck) or check.model is None:
            continue
        if check.model == own and not check.same_model:
            message = "the planner's own model; name another, or set `same_model: true`"
            faults.append(Fault(path=f"verify.checks[{index}].model", message=message))
    costs_by_judges = own is None and bool(goal.judges)
    if costs_by_judges and goal.budget.tokens is None and goal.budget.usd is None:
        faults.append(Fault(path="budget", message=_COSTS))
    return faults


def _planner_faults(goal: Goal) -> list[Fault]:
    match goal.planner:
        case Playbook() as playbook:
            return [
                *_duplicates("planner.rules", (rule.name for rule in playbook.rules)),
                *_rule_faults(goal, playbook.rules, "planner.rules"),
                *_beginning_faults(goal, playbook),
            ]
        case OpenAI() as spec:
            unbounded = goal.budget.tokens is None and goal.budget.usd is None
            return [
                *([Fault(path="budget", message=_COSTS)] if unbounded else []),
                *_duplicates("planner.playbook", (rule.name for rule in spec.playbook)),
                *_rule_faults(goal, spec.playbook, "planner.playbook"),
            ]
        case CommandPlanner():
            return []


def _beginning_faults(goal: Goal, playbook: Playbook) -> list[Fault]:
    """No check has failed before anything was verified, so some rule has to begin."""
    begun = goal.pattern is not None or goal.origin is not None
    if begun or any(rule.when.start for rule in playbook.rules):
        return []
    message = (
        "no rule can begin: nothing has been verified at the start, so no check fails yet; "
        "give the rule that comes first `when: {start: true}`"
    )
    return [Fault(path="planner.rules", message=message)]


def _rule_faults(goal: Goal, rules: tuple[Rule, ...], path: str) -> list[Fault]:
    faults = []
    checks = set(goal.check_names)
    for index, rule in enumerate(rules):
        where = f"{path}[{index}]"
        if not rule.when.start and not rule.when.failing:
            message = "would never apply: set `start: true` or name `failing` checks"
            faults.append(Fault(path=f"{where}.when", message=message))
        for position, name in enumerate(rule.when.failing):
            if name not in checks:
                message = (
                    f"'{name}' is no check of this goal; there are: {', '.join(goal.check_names)}"
                )
                faults.append(Fault(path=f"{where}.when.failing[{position}]", message=message))
        faults += plan_faults(rule.do, f"{where}.do")
        for position, action in enumerate(rule.do):
            faults += action_faults(action, goal.tools, f"{where}.do[{position}]")
    return faults
