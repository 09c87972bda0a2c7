"""Which rule of a playbook applies: the first whose condition holds and that is not used up. Pure.

The planner plans by it, the coordinator asks whether that rung of the ladder would hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from loopwright.plan import Verdict
from loopwright.planners import Rule


def applicable(
    rules: Iterable[Rule],
    verdict: Verdict | None,
    uses: Mapping[str, int],
    before: tuple[str, ...] = (),
) -> tuple[Rule, str] | None:
    """The rule and why it applies, in words; None where none does.

    `before` are the checks that did not pass where a forked loop begins.
    """
    for rule in rules:
        why = _why(rule, verdict, before)
        if why and uses.get(rule.name, 0) < rule.times:
            return rule, why
    return None


def _why(rule: Rule, verdict: Verdict | None, before: tuple[str, ...]) -> str:
    """Why a rule applies; empty where it does not."""
    if verdict is None and not before:
        return "it is the start" if rule.when.start else ""
    if verdict is None:
        failing = [name for name in rule.when.failing if name in before]
    else:
        failing = [name for name in rule.when.failing if name not in verdict.passed]
    return f"{', '.join(failing)} did not pass" if failing else ""
