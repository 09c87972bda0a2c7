"""Error kind → what happens next: one table, and the backoff that it leads to. Pure.

The page of the documents is written from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from loopwright.errors import ILL, PATIENT, ErrorInfo, ErrorKind
from loopwright.events import LoopOutcome, Reason


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the step again, after full jitter below `base_s` × 2^failures, at most `cap_s`."""

    base_s: float = 0.0
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Block:
    """Only a person can mend it: hold the loop, burn nothing, until `retry`."""


@dataclass(frozen=True, slots=True)
class Exhaust:
    """The budget does not cover the step: hold for an amendment, or end."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class End:
    """No attempt can help: end the loop."""

    outcome: LoopOutcome
    reason: Reason


@dataclass(frozen=True, slots=True)
class Row:
    """What an error kind leads to."""

    then: Retry | Block | Exhaust | End
    before: str = ""
    """What is tried before the step counts as failed, or changed for its next attempt."""


POLICY: dict[ErrorKind, Row] = {
    "rate_limited": Row(Retry(base_s=2.0, cap_s=120.0)),
    "overloaded": Row(Retry(base_s=2.0, cap_s=120.0)),
    "timeout": Row(Retry(base_s=1.0)),
    "network": Row(Retry(base_s=1.0, cap_s=120.0)),
    "context_overflow": Row(Retry(), before="the next attempt has half the context"),
    "invalid_output": Row(Retry(), before="one turn to repair it"),
    "content_filtered": Row(Retry()),
    "auth": Row(Block()),
    "billing": Row(Block()),
    "model_not_found": Row(Block()),
    "tool_not_found": Row(Retry(), before="one turn to repair it"),
    "invalid_arguments": Row(Retry(), before="one turn to repair it"),
    "permission_denied": Row(Retry(), before="one turn to repair it"),
    "sandbox_limit": Row(Retry()),
    "sandbox_unavailable": Row(Block()),
    "tool_failed": Row(Retry()),
    "outcome_unknown": Row(Block()),
    "budget_too_small": Row(Exhaust("tokens")),
    "no_rule_applies": Row(End("exhausted", "no_rule_applies")),
    "dependency_down": Row(Retry(base_s=2.0, cap_s=120.0)),
    "worker_lost": Row(Retry()),
    "internal": Row(Retry(base_s=1.0)),
}

#: The longest that a dependency's Retry-After is honoured, in seconds.
MAX_RETRY_AFTER_S = 3600.0


def backoff_s(retry: Retry, error: ErrorInfo, failures: int, key: str) -> float:
    """Seconds to wait before the next attempt.

    Retry-After is honoured. The jitter is derived from `key`, not random, so that a decision made
    twice is the same decision.
    """
    if error.retry_after_s is not None:
        return min(max(error.retry_after_s, 0.0), MAX_RETRY_AFTER_S)
    ceiling = min(retry.cap_s, retry.base_s * 2.0 ** min(failures, 20))
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return ceiling * share


def table() -> str:
    """The policy as Markdown."""
    lines = [
        "# Errors and what follows",
        "",
        "Written from the table in `loopwright_coordinator.policy`; change it there, then run "
        "`make contract`.",
        "",
        "| kind | first | then | counts for the breaker |",
        "|---|---|---|---|",
        *(
            f"| `{kind}` | {row.before} | {_words(kind, row)} | {'yes' if kind in ILL else 'no'} |"
            for kind, row in POLICY.items()
        ),
        "",
        "Backoff is exponential with full jitter, derived from the loop and its position, so that "
        "a decision made twice is the same. A Retry-After is honoured up to "
        f"{MAX_RETRY_AFTER_S:g} s. Waiting is a durable timer: it survives a restart of "
        "everything.",
    ]
    return "\n".join(lines) + "\n"


def _words(kind: ErrorKind, row: Row) -> str:
    match row.then:
        case Retry(base_s=base, cap_s=cap):
            limit = "until `limits.patience`" if kind in PATIENT else "up to `limits.attempts`"
            wait = f"after up to {base:g} s × 2^n, at most {cap:g} s" if base else "at once"
            return f"again {wait}, {limit}"
        case Block():
            return "held as `blocked` until `loopwright retry`"
        case Exhaust():
            return "held as `budget_exhausted` until `loopwright amend`, or ended"
        case End(outcome=outcome, reason=reason):
            return f"ended as `{outcome}` ({reason})"
