"""What travels round the loop: the plan, the outcome of its actions, the verdict."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loopwright.tools import Action, EffectClass
from loopwright.wire import Wire, added

ActionStatus = Literal["succeeded", "failed", "skipped"]
CheckStatus = Literal["passed", "failed", "error"]


Fact = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class SectionUse(Wire):
    """A section of a prompt: what there was of it, and what fitted."""

    name: str
    wanted: int
    """Tokens, by the bound that the budget is kept with."""
    kept: int
    left_out: int = 0
    """Blocks of it that are not in the prompt at all."""


class Making(Wire):
    """How a model was asked for a plan: enough to explain it, no texts."""

    model: str
    format: str
    """How structured output was asked for: json_schema, json_object or text."""
    calls: int = Field(ge=1)
    """Model calls of the attempt, those that were refused or repaired included."""
    limit: int
    """What the prompt was allowed, in tokens."""
    sections: tuple[SectionUse, ...] = ()
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt text → the first digits of its SHA-256."""
    digest: str = ""
    """`sha256:…` of the messages."""


class Plan(Wire):
    """What to do in this iteration."""

    summary: str = Field(max_length=4000)
    """A sentence for people and for the next plan."""
    actions: tuple[Action, ...] = Field(default=(), max_length=200)
    """Run in order; none means that the planner asks for verification as things are."""
    rule: str | None = None
    """The playbook rule that was used."""
    remember: tuple[Fact, ...] = added((), max_length=20)
    """Facts that are worth keeping beyond this iteration."""
    recalled: tuple[str, ...] = added((), max_length=50)
    """Ids of the memories that its planner was told."""
    claims_met: bool = added(False)
    """The planner takes the goal to be met; only the verifier's evidence decides."""
    question: str = added("", max_length=2000)
    """To a person: the loop waits for the answer, and this plan's actions are not run."""
    made: Making | None = added(None)
    """How a model was asked for it."""


class Artefact(Wire):
    """A content that an action fetched or made, by its digest."""

    name: str
    digest: str
    """`sha256:…` of its bytes."""
    bytes: int


class ActionOutcome(Wire):
    """What an action did; text is an excerpt, head and tail."""

    tool: str
    status: ActionStatus
    exit_code: int | None = None
    failure: str | None = None
    """Kind of failure: an error kind, or the limit that ended it (wall, memory, output …).
    `outcome_unknown`: it may have happened, and is not done again."""
    stdout: str = ""
    stderr: str = ""
    duration_s: float = 0.0
    max_rss_bytes: int = 0
    effect: EffectClass | None = None
    """What the call could change."""
    isolation: str | None = None
    """What kept it in; nothing where the executor itself acted."""
    artefacts: tuple[Artefact, ...] = ()


class Change(Wire):
    """A path that the iteration changed."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    bytes: int = 0


class Outcome(Wire):
    """What the executor did with a plan."""

    revision: str
    """The workspace after it; the same as before when nothing changed or an action failed."""
    tree: str | None = None
    """Digest of the workspace's contents, whatever led to them."""
    succeeded: bool
    """False where an action failed: its effects, and those before it, left no trace."""
    actions: tuple[ActionOutcome, ...] = ()
    changes: tuple[Change, ...] = ()
    """The first paths that changed."""
    changed_paths: int = 0
    isolation: str = "none"
    """The sandbox level that the actions ran under."""


class Place(Wire):
    """Where in the workspace a check's evidence points."""

    path: str
    line: int
    message: str = ""


class CheckResult(Wire):
    """One check's evidence."""

    name: str
    status: CheckStatus
    message: str
    """Why, in a sentence, with the expected and the found value."""
    exit_code: int | None = None
    digest: str | None = None
    """`sha256:…` of what was judged: a file, a report, an output."""
    excerpt: str = ""
    duration_s: float = 0.0
    value: float | None = None
    """The number that was measured, where the check measures one."""
    flaky: bool = False
    """It was run more than once and did not come out the same."""
    places: tuple[Place, ...] = ()
    """Files and lines of the workspace that the evidence names."""


class Verdict(Wire):
    """The verifier's evidence about one revision."""

    revision: str
    checks: tuple[CheckResult, ...]
    score: float = Field(ge=0, le=1)
    """Weight of the checks that passed by the weight of all."""
    restored: tuple[str, ...] = ()
    """Protected paths that differed and were put back before the checks ran."""
    isolation: str = "none"
    changes: tuple[Change, ...] = ()
    """The first paths that differ from the goal's workspace."""
    changed_paths: int = 0
    reused: bool = False
    """The revision was judged before, by checks that depend on it alone: that verdict stands."""

    @property
    def passed(self) -> frozenset[str]:
        """Names of the checks that passed."""
        return frozenset(check.name for check in self.checks if check.status == "passed")

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the checks that did not pass, in order."""
        return tuple(check.name for check in self.checks if check.status != "passed")
