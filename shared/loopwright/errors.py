"""Error kinds (data, on the wire) and the exceptions (in a process).

LoopwrightError
├── GoalInvalidError        the goal's author must change it; carries every fault
├── UnreadableError         a message that this reader cannot decode
│   └── NewerError          … since a newer version wrote it
├── ConflictError           another writer was first; read again and decide again
├── BusUnavailableError     the bus did not answer; try again
├── PayloadTooLargeError    a message beyond the bus's cap; use the object store
├── StepError               a worker's step failed, with a kind from the closed list
└── SettingsError           this process cannot start as it is configured
"""

from __future__ import annotations

from typing import Literal

from loopwright.wire import Wire

ErrorKind = Literal[
    "rate_limited",
    "overloaded",
    "timeout",
    "network",
    "context_overflow",
    "invalid_output",
    "content_filtered",
    "auth",
    "billing",
    "model_not_found",
    "tool_not_found",
    "invalid_arguments",
    "permission_denied",
    "sandbox_limit",
    "sandbox_unavailable",
    "tool_failed",
    "outcome_unknown",
    "budget_too_small",
    "no_rule_applies",
    "dependency_down",
    "worker_lost",
    "internal",
]


#: What passes when a dependency is back: waited for within `limits.patience`, whatever the count.
PATIENT: frozenset[ErrorKind] = frozenset(
    {"rate_limited", "overloaded", "network", "dependency_down"}
)
#: What says that the dependency behind a call is ill: its breaker counts them.
ILL: frozenset[ErrorKind] = frozenset({"overloaded", "timeout", "network", "tool_failed"})


class ErrorInfo(Wire):
    """Why a step failed, for the log and for people."""

    kind: ErrorKind
    message: str
    """A sentence with the values and the way out; no secrets."""
    retry_after_s: float | None = None
    """What the dependency asked for, in seconds."""
    dependency: str | None = None
    """Whose breaker refused the call, as `llm:gpt-4o-mini`."""


class Fault(Wire):
    """One thing that is wrong with a message that a person wrote."""

    path: str
    """Where, as `budget.iterations` or `verify.checks[2].path`."""
    message: str
    line: int | None = None
    """The line of the file, from 1, where the file is known."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path or 'goal'}: {self.message}"


class LoopwrightError(Exception):
    """Anything that Loopwright raises on purpose."""


class GoalInvalidError(LoopwrightError):
    """A goal that cannot be admitted; `faults` names each thing to mend."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(fault) for fault in faults))


class UnreadableError(LoopwrightError):
    """A message that cannot be decoded by this reader."""


class NewerError(UnreadableError):
    """A message that a newer version wrote, and that only such a one may read."""


class ConflictError(LoopwrightError):
    """A compare-and-set that another writer won."""


class BusUnavailableError(LoopwrightError):
    """The bus did not answer in time; whether it stored the message is unknown."""


class PayloadTooLargeError(LoopwrightError):
    """A message beyond the cap that keeps the server from dropping the connection."""


class SettingsError(LoopwrightError):
    """This process cannot start as it is configured."""


class StepError(LoopwrightError):
    """A step that failed for a reason of the closed list; becomes the result's `error`."""

    def __init__(
        self, kind: ErrorKind, message: str, *, retry_after_s: float | None = None
    ) -> None:
        self.info = ErrorInfo(kind=kind, message=message, retry_after_s=retry_after_s)
        super().__init__(message)
