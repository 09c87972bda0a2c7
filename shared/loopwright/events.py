"""READ FIRST. Every event of a loop's log: one tagged union, frozen.

The log of loop L is the messages on `loop.L.>` of the LOOPS stream, in order. Each event is a
transition: it accepts the previous step's result (`settles`) and grants the next step (`grant`).
The event that grants a step is the command that its worker consumes:

    loop_admitted → plan_requested → execution_requested → verification_requested
                         ▲                                         │
                         └────────── verdict, not yet met ─────────┘ → … → loop_ended

Between any two of them a loop may be held (`loop_held`) or a person may have spoken
(`loop_controlled`). `loopwright.states` is the table of what may follow what.

Only coordinators write here. `loopwright.loop` folds these events into a loop's state;
`loopwright.chain` seals them into CloudEvents and checks the hash chain.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from loopwright.approach import Approach
from loopwright.budget import Amount, Price, Usage
from loopwright.control import Control
from loopwright.errors import ErrorInfo
from loopwright.family import ChildEnd, Join, Joined, Parent, Spawned
from loopwright.forecast import Forecast, ForecastError
from loopwright.goal import Goal, Limits
from loopwright.plan import Change, Outcome, Plan, Verdict
from loopwright.subjects import Role
from loopwright.wire import Wire

LoopOutcome = Literal[
    "achieved", "exhausted", "deadline", "stalled", "failed", "cancelled", "rejected"
]

#: Why a loop waits; the step that is due is granted when the hold ends.
HoldKind = Literal[
    "paused",
    "awaiting_approval",
    "awaiting_children",
    "backing_off",
    "blocked",
    "budget_exhausted",
]

#: Why a loop ended or waits, more closely than its outcome.
Reason = Literal[
    "verified",
    "approved",
    "iterations",
    "tokens",
    "cost",
    "actions",
    "no_rule_applies",
    "time",
    "errors",
    "dependency",
    "events",
    "repeating",
    "hold_expired",
    "requested",
    "unknown_price",
    "policy_cap",
    "quarantined",
]

SettlementStatus = Literal[
    "done", "failed", "worker_lost", "expired", "not_started", "stopped", "ended"
]


class Grant(Wire):
    """Leave to do one attempt of one step, with its ceilings."""

    role: Role
    iteration: int
    attempt: int
    """From 1 within a step; every grant of a step has its own."""
    token_digest: str
    """SHA-256, hex, of the attempt token that travels in a header."""
    deadline: datetime
    """Absolute; no worker starts or goes on after it."""
    reserved: Amount = Amount()
    """What the attempt may spend at most."""
    models: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    limits: Limits | None = None
    """Of the loop, where they were amended; else the goal's."""
    compact: int = 0
    """So often the context has overflowed: halve it this many times."""


class Settlement(Wire):
    """How a grant was closed, and what it was charged."""

    role: Role
    iteration: int
    attempt: int
    grant_seq: int
    """Stream sequence of the event that granted it."""
    status: SettlementStatus
    """`done` and `failed` are the worker's word; `worker_lost`, `expired`, `stopped` and `ended`
    are charged in full; `not_started` is released."""
    usage: Usage | None = None
    charged: Amount = Amount()
    overrun: bool = False
    """The real usage was more than the reservation: named, never hidden."""
    error: ErrorInfo | None = None
    worker: str | None = None


class IterationSummary(Wire):
    """One time round the loop, as the next plan and a person see it."""

    iteration: int
    summary: str = ""
    rule: str | None = None
    executed: bool = True
    """False where an action failed, so that nothing was committed or verified."""
    score: float | None = None
    passed: int = 0
    checks: int = 0
    turned_green: tuple[str, ...] = ()
    turned_red: tuple[str, ...] = ()
    revision: str | None = None
    spent: Amount = Amount()
    duration_s: float = 0.0
    note: str = ""
    """Why it failed, where it did."""


class Best(Wire):
    """The best verified state so far; it is what the loop delivers."""

    iteration: int
    revision: str
    score: float
    passed: int
    checks: int


class BudgetWarning(Wire):
    """A budget has been used to this share, for the first time."""

    budget: Literal["iterations", "tokens", "cost", "actions", "time"]
    percent: Literal[50, 80, 95]
    used: float
    """Micro-dollars for `cost`, seconds for `time`."""
    cap: float


class Notice(Wire):
    """The loop is stuck: what repeats, and how hard the answer is."""

    level: Literal[1, 2]
    """1 tells the planner, 2 changes how it plans; after that the loop ends as stalled."""
    pattern: Literal["repeat", "cycle", "return", "error", "plateau"]
    detail: str
    """A sentence for the planner and for people."""
    temperature: float | None = None
    """What the model is to be asked with from now on, where the answer is to change that."""


class Brief(Wire):
    """What a person needs to decide."""

    questions: tuple[str, ...] = ()
    """Of the goal's approval checks."""
    summary: str = ""
    """The plan's own words."""
    passed: tuple[str, ...] = ()
    """Checks of the newest verdict."""
    failed: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    """The first paths that differ from the goal's workspace."""
    changed_paths: int = 0
    iteration: int = 0
    spent: Amount = Amount()
    """By the whole loop so far."""


class Wanted(Wire):
    """What a person is asked to approve."""

    kind: Literal["plan", "result", "question"]
    of: str
    """The plan's digest or the revision: an approval names what it approves."""
    brief: Brief | None = None


class Transition(Wire):
    """What every event may do besides its own: close a grant, do a person's word, warn."""

    settles: Settlement | None = None
    control: Control | None = None
    """The person's word that this event does."""
    warnings: tuple[BudgetWarning, ...] = ()
    child: ChildEnd | None = None
    """The end of a child that this event takes in: what it spent is charged, the rest is free."""


class LoopAdmitted(Transition):
    """The goal was accepted; its id is used up."""

    kind: Literal["loop_admitted"] = "loop_admitted"
    tenant: str
    goal: Goal
    goal_digest: str
    deadline: datetime
    price: Price | None = None
    """Of the goal's model, fixed for the whole loop."""
    parent: Parent | None = None
    """What started it, if another loop did; its goal's budget is a slice of that loop's."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """Of the other models that the goal names, by model."""


class PlanRequested(Transition):
    """A plan is wanted. Accepts the verdict, or the failed outcome, of the iteration before."""

    kind: Literal["plan_requested"] = "plan_requested"
    grant: Grant
    revision: str | None = None
    """The workspace to plan on; None is the goal's own, before anything was committed."""
    plan: Plan | None = None
    """The plan before, as feedback."""
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    history: tuple[IterationSummary, ...] = ()
    rule_uses: dict[str, int] = Field(default_factory=dict)
    price: Price | None = None
    """Of the model that is to plan, as fixed at admission."""
    approach: Approach | None = None
    """How the plan is to be made, where it is not as the goal says."""
    hints: tuple[str, ...] = ()
    """What people said since the last plan that was accepted."""
    notice: Notice | None = None
    """The loop is stuck; the newest notice stands until the score improves."""
    forecast: Forecast | None = None
    wake_at: datetime | None = None


class ExecutionRequested(Transition):
    """The plan was accepted and is to be run."""

    kind: Literal["execution_requested"] = "execution_requested"
    grant: Grant
    revision: str | None = None
    plan: Plan
    joined: tuple[Joined, ...] = ()
    """The plan has been run and the loops that it started are done: their work is taken over."""
    wake_at: datetime | None = None


class VerificationRequested(Transition):
    """The outcome was accepted and its revision is to be judged."""

    kind: Literal["verification_requested"] = "verification_requested"
    grant: Grant
    revision: str | None = None
    outcome: Outcome | None = None
    """None where the plan had no actions: the workspace is judged as it is."""
    plan: Plan
    prices: dict[str, Price] = Field(default_factory=dict)
    """Of the models that judge, as fixed at admission."""
    before: Verdict | None = None
    """The verdict that this very revision got before, if it did."""
    wake_at: datetime | None = None


class LoopHeld(Transition):
    """The loop waits. A result may be accepted with it; the step that follows is granted later.

    A grant that is open stays so: a pause lets the running step finish.
    """

    kind: Literal["loop_held"] = "loop_held"
    hold: HoldKind
    until: datetime
    """When it is tried again (`backing_off`), or when the hold expires."""
    reason: Reason | None = None
    """What the loop ends for when the hold expires."""
    detail: str = ""
    """A sentence with the values and the way out."""
    wanted: Wanted | None = None
    dependency: str | None = None
    """Whose breaker is waited for, as `llm:gpt-4o-mini`; the loop goes on when it closes."""
    plan: Plan | None = None
    """The plan that this event accepts, if it accepts one; likewise the next two."""
    execution: Outcome | None = None
    verdict: Verdict | None = None
    children: tuple[Spawned, ...] = ()
    """Loops that this event starts, with the slices of the budget that it reserves for them."""
    join: Join | None = None
    wake_at: datetime | None = None


class LoopControlled(Transition):
    """A person's word was done that grants nothing by itself: an amendment, a hint, a resume."""

    kind: Literal["loop_controlled"] = "loop_controlled"
    wake_at: datetime | None = None


class ChildSettled(Transition):
    """A child ended and nothing follows yet: others are waited for, or its work is not wanted."""

    kind: Literal["child_settled"] = "child_settled"
    wake_at: datetime | None = None


class LateResultRecorded(Transition):
    """A result came after its attempt was settled: nothing changes, its usage is kept."""

    kind: Literal["late_result_recorded"] = "late_result_recorded"
    role: Role
    iteration: int
    attempt: int
    grant_seq: int
    usage: Usage


class LoopEnded(Transition):
    """The one terminal event of a loop; nothing follows it."""

    kind: Literal["loop_ended"] = "loop_ended"
    outcome: LoopOutcome
    reason: Reason
    detail: str
    """A sentence with the values and the way out."""
    verdict: Verdict | None = None
    """The verdict that this event accepts, if it accepts one."""
    execution: Outcome | None = None
    """The failed outcome that this event accepts, if it accepts one."""
    plan: Plan | None = None
    goal_digest: str
    iterations: int
    spent: Amount
    """Everything charged, this event's settlement included."""
    best: Best | None = None
    """The work that is delivered."""
    duration_s: float
    forecast_error: ForecastError | None = None
    """How well the forecasts of this loop were."""


EventData = Annotated[
    LoopAdmitted
    | PlanRequested
    | ExecutionRequested
    | VerificationRequested
    | LoopHeld
    | LoopControlled
    | ChildSettled
    | LateResultRecorded
    | LoopEnded,
    Field(discriminator="kind"),
]

#: The events that a worker consumes.
RequestData = PlanRequested | ExecutionRequested | VerificationRequested
