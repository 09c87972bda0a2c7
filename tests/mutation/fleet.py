"""Guards of the fleet: breakers, tenants, limits, the state service."""

from __future__ import annotations

from mutation.mutant import Mutant

_BREAKER = "tests/unit/test_breaker.py"
_HOLD = "tests/unit/test_breaker_hold.py"
_GATE = "tests/integration/test_breakers.py"
_COORDINATOR = "services/coordinator/loopwright_coordinator"

_BREAKERS = (
    Mutant(
        "lets every call be a probe",
        "shared/loopwright/breaker.py",
        "until = breaker.probe.deadline if breaker.probe else now",
        "until = now",
        f"{_BREAKER}::test_after_the_cool_down_one_attempt_probes_and_the_others_are_refused",
    ),
    Mutant(
        "keeps a probe whose attempt died for ever",
        "shared/loopwright/breaker.py",
        "until = breaker.probe.deadline if breaker.probe else now",
        "until = now + timedelta(days=1)",
        f"{_BREAKER}::test_a_probe_without_a_word_is_over_at_its_deadline",
    ),
    Mutant(
        "lets a call from before it opened close a breaker",
        "shared/loopwright/breaker.py",
        'if breaker.state == "half_open" and holder.same(breaker.probe):',
        'if breaker.state == "half_open":',
        f"{_BREAKER}::test_only_the_probe_tells_while_it_is_not_closed",
    ),
    Mutant(
        "takes a probe without a compare-and-set",
        "shared/loopwright/records.py",
        '"Nats-Expected-Last-Subject-Sequence": str(expected),',
        "",
        f"{_GATE}::test_one_of_many_probes_and_its_answer_lets_all_through",
    ),
    Mutant(
        "lets one goal's short time-out open a breaker for all",
        "shared/loopwright/service/gate.py",
        'if stopped or (info.kind == "timeout" and monotonic() - self.began < FAIR_TIMEOUT_S):',
        "if stopped:",
        f"{_GATE}::test_a_call_that_ran_out_of_little_time_says_nothing",
    ),
    Mutant(
        "grants a plan though its model is down",
        f"{_COORDINATOR}/breakers.py",
        "if None in refused:",
        "if True:",
        f"{_HOLD}::test_a_loop_that_begins_while_its_model_is_down_waits_and_reserves_nothing",
    ),
    Mutant(
        "waits for a dependency past the loop's patience",
        f"{_COORDINATOR}/breakers.py",
        "if down_s < after.limits.patience:",
        "if True:",
        f"{_HOLD}::test_it_ends_as_failed_when_the_patience_is_over",
    ),
    Mutant(
        "wakes nobody when a breaker closes",
        f"{_COORDINATOR}/app.py",
        "await self.settle(loop_id, Recovered(dependency))",
        "pass",
        "tests/integration/test_line.py"
        "::test_a_loop_whose_model_is_down_waits_and_goes_on_when_its_breaker_closes",
    ),
)

ROWS: tuple[Mutant, ...] = _BREAKERS
