"""Judging: from each check's result to a verdict. Pure, and fail-closed.

A check that did not run has failed; a verdict holds every check of the goal once, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from loopwright.goal import Goal
from loopwright.plan import CheckResult, CheckStatus, Verdict

#: Text of one check that is kept as evidence, and of all checks together, in characters.
EXCERPT_CHARS = 4_000
ALL_EXCERPT_CHARS = 48_000
MESSAGE_CHARS = 1_000
#: Restored paths that a verdict names.
NAMED_PATHS = 100


def judge(
    goal: Goal,
    revision: str,
    results: Mapping[str, CheckResult],
    *,
    restored: Sequence[str] = (),
    isolation: str = "none",
) -> Verdict:
    """The verdict on a revision from the results by check name."""
    checks = tuple(
        results.get(check.name)
        or result(check.name, "error", "the check did not run, so it has failed")
        for check in goal.verify.checks
    )
    weights = {check.name: check.weight for check in goal.verify.checks}
    won = sum(weights[check.name] for check in checks if check.status == "passed")
    return Verdict(
        revision=revision,
        checks=_bounded(checks),
        score=won / sum(weights.values()),
        restored=tuple(restored[:NAMED_PATHS]),
        isolation=isolation,
    )


def result(
    name: str,
    status: CheckStatus,
    message: str,
    *,
    exit_code: int | None = None,
    judged: bytes | None = None,
    text: str = "",
    duration_s: float = 0.0,
) -> CheckResult:
    """One check's evidence; `judged` is what its digest is of, `text` what its excerpt is from."""
    return CheckResult(
        name=name,
        status=status,
        message=excerpt(message, MESSAGE_CHARS),
        exit_code=exit_code,
        digest=None if judged is None else f"sha256:{hashlib.sha256(judged).hexdigest()}",
        excerpt=excerpt(text, EXCERPT_CHARS),
        duration_s=round(duration_s, 4),
    )


def excerpt(text: str, limit: int) -> str:
    """Head and tail of a text, with how much was left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _bounded(checks: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """The evidence of what failed comes first when not all of it fits."""
    left, kept = ALL_EXCERPT_CHARS, dict[int, CheckResult]()
    for index in sorted(range(len(checks)), key=lambda i: checks[i].status == "passed"):
        check = checks[index]
        if len(check.excerpt) > left:
            check = check.model_copy(update={"excerpt": ""})
        left -= len(check.excerpt)
        kept[index] = check
    return tuple(kept[index] for index in range(len(checks)))
