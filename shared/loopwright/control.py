"""What people say to a running loop. Unknown fields are errors; ids make them idempotent.

Values are absolute, so that a message that comes twice, or late, says the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from loopwright.budget import Usd
from loopwright.wire import Seconds, Written

RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]

#: A reason or a hint, in characters.
MAX_TEXT = 2000


class Message(Written):
    """What every control message has."""

    id: RequestId
    """The sender's own; a repeat of the same id does nothing more."""
    reason: str = Field(default="", max_length=MAX_TEXT)
    """For the log."""


class Cancel(Message):
    """End the loop now; open grants are charged in full, the best work is delivered."""

    kind: Literal["cancel"] = "cancel"


class Pause(Message):
    """Grant nothing more until `resume`; the loop's deadline goes on running."""

    kind: Literal["pause"] = "pause"
    now: bool = False
    """Stop the running step too, charged in full and done anew; else it may finish."""


class Resume(Message):
    """End a pause."""

    kind: Literal["resume"] = "resume"


class BudgetChange(Written):
    """New caps, absolute; what is left out stays. None may be below what is spent or reserved."""

    iterations: int | None = Field(default=None, ge=1, le=10_000)
    tokens: int | None = Field(default=None, ge=1)
    usd: Usd | None = None
    actions: int | None = Field(default=None, ge=1)
    time: Seconds | None = None
    """Wall-clock time from admission to the end: the deadline."""


class LimitsChange(Written):
    """New limits of steps and actions; what is left out stays."""

    attempts: int | None = Field(default=None, ge=1, le=20)
    patience: Seconds | None = None
    plan_time: Seconds | None = None
    execute_time: Seconds | None = None
    verify_time: Seconds | None = None
    action_time: Seconds | None = None
    memory_mb: int | None = Field(default=None, ge=32, le=65_536)
    processes: int | None = Field(default=None, ge=1, le=4096)
    output_kb: int | None = Field(default=None, ge=1, le=1_048_576)
    disk_mb: int | None = Field(default=None, ge=1, le=65_536)
    events: int | None = Field(default=None, ge=10, le=1_000_000)
    hold_time: Seconds | None = None


class Amend(Message):
    """Change the loop's budget, deadline or limits; a loop held for its budget goes on."""

    kind: Literal["amend"] = "amend"
    budget: BudgetChange = BudgetChange()
    limits: LimitsChange = LimitsChange()


class Approve(Message):
    """Let the plan be run, or the verified result stand."""

    kind: Literal["approve"] = "approve"
    of: str = Field(min_length=1, max_length=200)
    """The digest of the plan or the revision that is approved, as the hold names it."""


class Reject(Message):
    """Do not: the next plan gets the reason."""

    kind: Literal["reject"] = "reject"
    of: str = Field(min_length=1, max_length=200)
    """The digest of the plan or the revision that is rejected, as the hold names it."""


class Nudge(Message):
    """Give the next plan a hint."""

    kind: Literal["nudge"] = "nudge"
    hint: str = Field(min_length=1, max_length=MAX_TEXT)


class Retry(Message):
    """Try a blocked step again now, or one that waits for its next attempt."""

    kind: Literal["retry"] = "retry"


Control = Annotated[
    Cancel | Pause | Resume | Amend | Approve | Reject | Nudge | Retry,
    Field(discriminator="kind"),
]

CONTROL: TypeAdapter[Control] = TypeAdapter(Control)
