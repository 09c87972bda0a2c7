"""Judging from results to a verdict: fail-closed, every check once, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loopwright.plan import CheckResult, CheckStatus
from loopwright.testing import playbook_goal
from loopwright_verifier.core import ALL_EXCERPT_CHARS, EXCERPT_CHARS, judge, result

R1 = "1" * 40


def test_a_check_that_did_not_run_has_failed() -> None:
    verdict = judge(playbook_goal(), R1, {"a": result("a", "passed", "m")})
    assert verdict.passed == {"a"}
    assert verdict.checks[1].status == "error"
    assert "did not run" in verdict.checks[1].message


def test_a_result_of_no_check_of_the_goal_counts_for_nothing() -> None:
    verdict = judge(playbook_goal(), R1, {"c": result("c", "passed", "m")})
    assert (verdict.score, verdict.passed) == (0.0, frozenset())


def test_the_score_is_the_weight_that_passed() -> None:
    checks = [
        {"name": "a", "kind": "file", "path": "a", "weight": 3},
        {"name": "b", "kind": "file", "path": "b"},
    ]
    goal = playbook_goal(verify={"checks": checks})
    assert judge(goal, R1, {"a": result("a", "passed", "m")}).score == 0.75


statuses = st.sampled_from(["passed", "failed", "error"])


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(statuses, st.integers(0, 9000))))
def test_evidence_is_bounded_and_complete(results: dict[str, tuple[CheckStatus, int]]) -> None:
    given_results = {
        name: result(name, status, "m" * size, text="x" * size)
        for name, (status, size) in results.items()
    }
    verdict = judge(playbook_goal(), R1, given_results)
    assert tuple(check.name for check in verdict.checks) == ("a", "b")
    assert sum(len(check.excerpt) for check in verdict.checks) <= ALL_EXCERPT_CHARS
    assert all(len(check.excerpt) <= EXCERPT_CHARS + 60 for check in verdict.checks)
    assert verdict.passed <= {"a", "b"}


def test_failures_keep_their_evidence_when_not_all_of_it_fits() -> None:
    names = [f"c{index}" for index in range(30)]
    checks = [{"name": name, "kind": "file", "path": name} for name in names]
    goal = playbook_goal(verify={"checks": checks}, planner=_planner(names[0]))
    results: dict[str, CheckResult] = {
        name: result(name, "failed" if name == "c29" else "passed", "m", text="x" * EXCERPT_CHARS)
        for name in names
    }
    verdict = judge(goal, R1, results)
    assert verdict.checks[29].excerpt
    assert not all(check.excerpt for check in verdict.checks)


def _planner(check: str) -> dict[str, object]:
    action = {"tool": "shell", "args": {"run": "true"}}
    rule = {"name": "r", "when": {"start": True, "failing": [check]}, "do": [action]}
    return {"backend": "playbook", "rules": [rule]}
