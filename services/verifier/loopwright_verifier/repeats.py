"""Running a check more than once: what does not come out the same each time is flaky. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.plan import CheckResult


def combined(runs: Sequence[CheckResult]) -> CheckResult:
    """One result of all runs: passed if all passed, the first failure otherwise, flaky if mixed."""
    bad = next((run for run in runs if run.status != "passed"), None)
    if bad is None:
        return runs[0]
    passed = sum(run.status == "passed" for run in runs)
    if not passed:
        return bad
    message = f"flaky: it passed {passed} of {len(runs)} times; {bad.message}"
    return bad.model_copy(update={"flaky": True, "message": message, "status": "failed"})
