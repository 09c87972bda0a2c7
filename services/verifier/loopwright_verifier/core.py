"""Judging: from each check's result to a verdict. Pure, and fail-closed.

A check that did not run has failed; a verdict holds every check of the goal once, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from loopwright.events import VerificationRequested
from loopwright.goal import Goal
from loopwright.plan import Change, CheckResult, CheckStatus, Verdict
from loopwright_verifier.places import named, places

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
    changes: Sequence[Change] = (),
) -> Verdict:
    """The verdict on a revision from the results by check name."""
    checks = tuple(
        results.get(check.name)
        or result(check.name, "error", "the check did not run, so it has failed")
        for check in goal.verify.checks
    )
    passed = frozenset(check.name for check in checks if check.status == "passed")
    return Verdict(
        revision=revision,
        checks=_bounded(checks),
        score=goal.score(passed),
        restored=tuple(restored[:NAMED_PATHS]),
        isolation=isolation,
        changes=tuple(changes[:NAMED_PATHS]),
        changed_paths=len(changes),
    )


def reusable(goal: Goal, data: VerificationRequested) -> Verdict | None:
    """The verdict before, where the same revision is asked about and nothing could differ.

    So the same work cannot be put to a judge until it likes it. What a server outside answers may
    change, and what broke or was flaky may have been bad luck: then all is judged anew.
    """
    before = data.before
    if before is None or before.revision != data.revision:
        return None
    if any(check.kind == "http" for check in goal.verify.checks):
        return None
    if tuple(check.name for check in before.checks) != goal.check_names:
        return None
    if any(check.status == "error" or check.flaky for check in before.checks):
        return None
    return before.model_copy(update={"reused": True})


def with_places(item: CheckResult, paths: Collection[str]) -> CheckResult:
    """The result with the files and lines that its evidence names, the first of them in words."""
    if item.status == "passed" or item.places:
        return item
    found = places(item.excerpt, paths)
    if not found:
        return item
    message = excerpt(f"{item.message}; at {named(found)}", MESSAGE_CHARS)
    return item.model_copy(update={"places": found, "message": message})


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
