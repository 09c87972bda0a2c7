"""What a loop is between two events: the state that its log folds to. Pure."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from loopwright.approach import Approach
from loopwright.budget import NOTHING, Amount, Budget, Price
from loopwright.events import (
    Best,
    Grant,
    HoldKind,
    IterationSummary,
    LoopOutcome,
    Notice,
    Reason,
    Wanted,
)
from loopwright.family import ChildState, Join, Parent, iterations_of, sliced
from loopwright.forecast import Forecast
from loopwright.goal import Goal, Limits
from loopwright.marks import Mark
from loopwright.plan import Outcome, Plan, Verdict
from loopwright.states import LoopState
from loopwright.subjects import Role
from loopwright.wire import Wire


class OpenGrant(Wire):
    """A grant that is not settled, and where it was given."""

    grant: Grant
    seq: int
    """Stream sequence of the granting event."""


class Held(Wire):
    """Why a loop waits, and until when."""

    kind: HoldKind
    until: datetime
    reason: Reason | None = None
    detail: str = ""
    wanted: Wanted | None = None
    dependency: str | None = None
    """Whose breaker is waited for."""


class Loop(Wire):
    """A loop's state, folded from its log."""

    id: str
    tenant: str
    goal: Goal
    goal_digest: str
    budget: Budget
    """The goal's, as amended."""
    limits: Limits
    """The goal's, as amended."""
    price: Price | None = None
    prices: dict[str, Price] = Field(default_factory=dict)
    """Of the other models that the goal names, by model."""
    traceparent: str | None = None
    parent: Parent | None = None
    """What started it, if another loop did."""
    admitted_at: datetime
    deadline: datetime
    updated_at: datetime

    n: int
    """Position of the newest event."""
    head: str
    """SHA-256 of the newest event's body: what the next event's `prev` must be."""
    tip: int
    """Stream sequence of the newest event: what the next append expects."""

    state: LoopState = "admitted"
    iteration: int = 0
    iteration_started_at: datetime | None = None
    iteration_spent: Amount = NOTHING
    """What was spent when the iteration began."""
    step: Role = "planner"
    """Whose turn it is, also while a hold lasts."""
    attempt: int = 0
    """The last attempt of this step; 0 before its first."""
    failures: int = 0
    """Failures in a row, over steps."""
    strikes: int = 0
    """Those of them that count against `limits.attempts`."""
    failing_since: datetime | None = None
    """When the first of them came."""
    compact: int = 0
    """Context overflows in a row."""
    open: OpenGrant | None = None
    settled: tuple[OpenGrant, ...] = ()
    """The newest grants that were closed without their worker's result."""
    held: Held | None = None
    wake_at: datetime | None = None
    """An armed timer will look at the loop again at this time, or earlier."""

    spent: Amount = NOTHING
    overruns: int = 0
    estimated: int = 0
    """Settlements charged in full because the real usage is not known."""
    warned: dict[str, int] = Field(default_factory=dict)
    """Budget → the highest share that was warned of, in per cent."""

    revision: str | None = None
    plan: Plan | None = None
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    rule_uses: dict[str, int] = Field(default_factory=dict)
    history: tuple[IterationSummary, ...] = ()
    best: Best | None = None
    marks: tuple[Mark, ...] = ()
    """Of the newest iterations since the score last improved, polls left out."""
    since_best: int = 0
    """Iterations since the score last improved, polls left out."""
    notice: Notice | None = None
    noticed_at: int = 0
    """The iteration after which the notice came."""
    forecasts: tuple[Forecast, ...] = ()
    approach: Approach | None = None
    """How the newest plan was asked for, where it was not as the goal says."""

    children: tuple[ChildState, ...] = ()
    """Every loop that it has started."""
    join: Join | None = None
    """The children that it waits for, or whose work is being taken over."""

    controls: tuple[str, ...] = ()
    """Ids of the newest control messages that were done."""
    hints: tuple[str, ...] = ()
    """What people said since the last plan that was accepted."""

    ended: LoopOutcome | None = None
    reason: Reason | None = None
    detail: str = ""
    ended_at: datetime | None = None

    @property
    def reserved(self) -> Amount:
        """What the open grant and the children may still spend."""
        granted = self.open.grant.reserved if self.open else NOTHING
        return granted + sliced(self.children) if self.children else granted

    @property
    def iterations(self) -> int:
        """Iterations used, with what its children have used or may still use."""
        return self.iteration + iterations_of(self.children)

    @property
    def amended_limits(self) -> Limits | None:
        """The limits, where they are no longer the goal's."""
        return None if self.limits == self.goal.limits else self.limits
