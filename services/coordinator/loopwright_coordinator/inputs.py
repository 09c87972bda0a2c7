"""What the coordinator decides on, and what a decision can be: frozen data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from loopwright.control import Control
from loopwright.events import EventData, Grant
from loopwright.family import ChildEnd
from loopwright.results import Result


@dataclass(frozen=True, slots=True)
class Begin:
    """The loop was admitted: grant its first step, or reject it by policy."""

    max_usd: Decimal | None = None
    """The operator's cap on a goal's dollars."""


@dataclass(frozen=True, slots=True)
class ResultArrived:
    """A worker's result, with the digest of the token that came with it."""

    result: Result
    token_digest: str


@dataclass(frozen=True, slots=True)
class ControlArrived:
    """A person's word."""

    control: Control


@dataclass(frozen=True, slots=True)
class Woken:
    """A timer said: look again. `claim_won` tells who holds the open grant's claim, once asked."""

    claim_won: bool | None = None
    asked: str | None = None
    """The token digest of the grant whose claim it is: the open one may be another by now."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The breaker of a dependency has closed: whoever waits for it may go on."""

    dependency: str


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A loop that this one started has ended."""

    end: ChildEnd


Input = Begin | ResultArrived | ControlArrived | Woken | Recovered | ChildEnded


@dataclass(frozen=True, slots=True)
class Timer:
    """A durable timer: look at the loop again at `at`; `guard` names what it watches."""

    guard: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Append:
    """Append this one event; arm the timer first; tell the workers to stop after."""

    data: EventData
    timer: Timer | None = None
    token: str | None = None
    """The attempt token for the header, where the event grants."""
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing follows from the input; `why` is for the log and for whoever asked."""

    why: str
    done: bool = False
    """What was asked for is done already."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Nothing is due yet: look again at that time."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class TakeClaim:
    """The open grant is overdue: try to take its claim, then decide again with the answer."""

    grant: Grant


Decision = Append | Ignore | Arm | TakeClaim
