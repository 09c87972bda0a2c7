"""Error kind → what happens next: one table, and the backoff that it leads to. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from loopwright.errors import ErrorInfo, ErrorKind
from loopwright.events import LoopOutcome, Reason


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the step again, after full jitter below `base_s` × 2^failures, at most `cap_s`."""

    base_s: float = 0.0
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """No attempt can help: end the loop."""

    outcome: LoopOutcome
    reason: Reason


POLICY: dict[ErrorKind, Retry | End] = {
    "rate_limited": Retry(base_s=2.0, cap_s=120.0),
    "overloaded": Retry(base_s=2.0, cap_s=120.0),
    "timeout": Retry(base_s=1.0),
    "network": Retry(base_s=1.0),
    "context_overflow": Retry(),
    "invalid_output": Retry(),
    "content_filtered": Retry(),
    "auth": End("failed", "errors"),
    "billing": End("failed", "errors"),
    "model_not_found": End("failed", "errors"),
    "tool_not_found": Retry(),
    "invalid_arguments": Retry(),
    "permission_denied": Retry(),
    "sandbox_limit": Retry(),
    "sandbox_unavailable": Retry(base_s=5.0),
    "tool_failed": Retry(),
    "budget_too_small": End("exhausted", "tokens"),
    "no_rule_applies": End("exhausted", "no_rule_applies"),
    "worker_lost": Retry(),
    "internal": Retry(base_s=1.0),
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
