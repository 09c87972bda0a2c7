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

_TENANT, _TENANTS = "tests/unit/test_tenant.py", "tests/integration/test_tenants.py"

_QUOTAS = (
    Mutant(
        "counts only what a tenant has spent, not what it has leased",
        "shared/loopwright/tenant.py",
        "if cap is None or used + held + asked <= cap:",
        "if cap is None or used + asked <= cap:",
        f"{_TENANT}::test_a_loop_is_leased_its_whole_budget_and_gives_back_what_it_did_not_spend",
    ),
    Mutant(
        "counts a loop's end twice",
        "shared/loopwright/tenant.py",
        "if loop not in tenant.leases:\n        return tenant\n    leases",
        "leases",
        f"{_TENANT}::test_taking_or_returning_a_lease_twice_is_doing_it_once",
    ),
    Mutant(
        "admits a loop without its tenant's lease",
        f"{_COORDINATOR}/admission.py",
        "await self.quotas.admit(tenant, loop_id, goal)",
        "pass",
        f"{_TENANTS}::test_what_a_loop_did_not_spend_comes_home_and_what_it_spent_is_counted",
    ),
    Mutant(
        "amends a budget without its tenant's lease",
        f"{_COORDINATOR}/control.py",
        "if over is not None:",
        "if False:",
        f"{_TENANTS}::test_an_amendment_over_the_quota_is_refused",
    ),
    Mutant(
        "never gives a lease back",
        f"{_COORDINATOR}/quotas.py",
        "lambda known: known and release(known, loop_id, spent, at),",
        "lambda known: known,",
        f"{_TENANTS}::test_what_a_loop_did_not_spend_comes_home_and_what_it_spent_is_counted",
    ),
    Mutant(
        "keeps a lease for an id that is another tenant's",
        f"{_COORDINATOR}/admission.py",
        "await self.quotas.unlease(tenant, loop_id)",
        "pass",
        f"{_TENANTS}::test_a_lease_for_an_id_that_another_tenant_took_comes_home",
    ),
)

_LIMITS = (
    Mutant(
        "calls a model past its provider's limits",
        "shared/loopwright/rate.py",
        "if late > SLACK_S:",
        "if False:",
        "tests/unit/test_rate.py::test_a_call_that_is_larger_than_the_bucket_waits_until_it_is_full",
    ),
    Mutant(
        "waits for a provider's limits past the step's deadline",
        "shared/loopwright/service/limits.py",
        "if late > left:",
        "if False:",
        "tests/integration/test_limits.py"
        "::test_a_wait_past_the_deadline_is_rate_limited_with_its_wait",
    ),
)

_TOOLS, _PULL = "tests/integration/test_tool_breakers.py", "tests/integration/test_pull.py"
_EXECUTOR, _SERVICE = "services/executor/loopwright_executor", "shared/loopwright/service"

_CALLS = (
    Mutant(
        "calls a tool though its breaker is open",
        f"{_EXECUTOR}/tools/guarded.py",
        "case tool, _ if tool in own:",
        "case tool, _ if False:",
        f"{_TOOLS}::test_a_tool_that_is_away_is_called_no_more_and_again_when_its_breaker_closes",
    ),
    Mutant(
        "takes a server that says no for one that is away",
        f"{_EXECUTOR}/tools/guarded.py",
        'or (dependency.startswith("mcp:") and outcome.failure == _SAID)',
        "",
        f"{_TOOLS}::test_an_mcp_server_that_says_no_is_there",
    ),
    Mutant(
        "journals an action before its breaker is asked",
        f"{_EXECUTOR}/tools/toolbox.py",
        "        dependency = dependency_of(call, self.own.tools)\n",
        "        await self.once.journal.begin(call)\n"
        "        dependency = dependency_of(call, self.own.tools)\n",
        f"{_TOOLS}::test_what_was_refused_is_not_in_the_journal",
    ),
    Mutant(
        "lets judges pass their provider's limits",
        "services/verifier/loopwright_verifier/panel.py",
        "return GuardedLlm(self.llm, self.gate, holder_of(request), self.limits)",
        "return GuardedLlm(self.llm, self.gate, holder_of(request))",
        "tests/integration/test_limits.py::test_a_judge_takes_its_place_among_the_planners",
    ),
    Mutant(
        "keeps a message for which there is no room",
        f"{_SERVICE}/pull.py",
        "if len(self._running) >= self.most:",
        "if False:",
        f"{_PULL}::test_a_message_for_which_there_is_no_room_is_given_back",
    ),
)

ROWS: tuple[Mutant, ...] = (*_BREAKERS, *_QUOTAS, *_LIMITS, *_CALLS)
