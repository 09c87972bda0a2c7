"""Guards of planning."""

from __future__ import annotations

from mutation.mutant import Mutant

COORDINATOR = "services/coordinator/loopwright_coordinator"
PLANNER = "services/planner/loopwright_planner"
LADDER = "tests/unit/test_ladder.py"
INJECTIONS = "tests/unit/test_injections.py"
OBEYS = "test_a_model_that_obeys_every_order_gets_nothing_out_of_policy_past_the_planner"
STREAMED = "tests/unit/test_streamed_answers.py"
NOT_WHOLE = "test_a_stream_that_is_not_whole_is_a_failure_and_charged_in_full"

ROWS: tuple[Mutant, ...] = (
    Mutant(
        "admits a chain whose price nobody knows under a dollar budget",
        f"{COORDINATOR}/budgets.py",
        "return tuple(model for model in named if model not in known)",
        "return tuple(model for model in named[:1] if model not in known)",
        f"{LADDER}::test_a_dollar_budget_wants_the_price_of_every_model",
    ),
    Mutant(
        "reserves a rung at the price of the goal's own model",
        f"{COORDINATOR}/budgets.py",
        "return loop.prices.get(loop.approach.model, loop.price) if loop.approach else loop.price",
        "return loop.price",
        f"{LADDER}::test_each_rung_is_reserved_at_the_price_of_its_own_model",
    ),
    Mutant(
        "stays on a playbook of which no rule applies",
        f"{COORDINATOR}/ladder.py",
        'if rung.kind != "playbook":\n        return True',
        "if True:\n        return True",
        f"{LADDER}::test_a_playbook_carries_only_while_a_rule_applies",
    ),
    Mutant(
        "tries another model where the account is refused",
        f"{COORDINATOR}/ladder.py",
        'if rung.kind != "playbook" and error.kind in ACCOUNT:',
        "if False:",
        f"{LADDER}::test_a_refusal_leads_down_at_once",
    ),
    Mutant(
        "asks an endpoint that is not reached for less",
        f"{COORDINATOR}/ladder.py",
        'if rung.kind == "cheaper" and error.kind in UNREACHED:',
        "if False:",
        f"{LADDER}::test_an_endpoint_that_is_not_reached_is_not_asked_for_less",
    ),
    Mutant(
        "tells a model the secrets that stand in a workspace",
        f"{PLANNER}/step.py",
        "(await look(self.workspaces, request, spec)).without(self.redactor)",
        "await look(self.workspaces, request, spec)",
        "tests/unit/test_model_calls.py"
        "::test_a_secret_of_this_process_in_the_workspace_reaches_no_model",
    ),
    Mutant(
        "takes a stream that was cut for a whole answer",
        "shared/loopwright/service/llm/stream.py",
        "if self.finish_reason is None:",
        "if False:",
        f"{STREAMED}::{NOT_WHOLE}",
    ),
    Mutant(
        "charges nothing for a stream that was cut",
        "shared/loopwright/service/llm/stream.py",
        "costs=True)",
        "costs=False)",
        f"{STREAMED}::{NOT_WHOLE}",
    ),
    Mutant(
        "gives up before the last rung",
        f"{COORDINATOR}/ladder.py",
        "failed < ladder.after and not given_up:",
        "failed < ladder.after:",
        f"{LADDER}::test_useless_answers_lead_down_before_the_loop_is_given_up",
    ),
    Mutant(
        "runs the actions beside a question",
        f"{COORDINATOR}/accepting.py",
        "if plan.question:",
        "if False:",
        f"{LADDER}::test_a_question_waits_for_a_person_whose_answer_reaches_the_next_plan",
    ),
    Mutant(
        "waits for a model that is down although another is up",
        f"{COORDINATOR}/seal.py",
        "held_by_a_breaker(loop, detoured(loop, data, now, down), now, down)",
        "held_by_a_breaker(loop, data, now, down)",
        f"{LADDER}::test_a_model_whose_breaker_is_open_is_gone_round_at_once",
    ),
    Mutant(
        "lets a plan leave whose tools, arguments or paths are not allowed",
        f"{PLANNER}/core.py",
        "return refusal(plan, tools, protected) or plan",
        "return plan",
        f"{INJECTIONS}::{OBEYS}",
    ),
    Mutant(
        "believes a model that names the rule and the memories of its plan",
        f"{PLANNER}/core.py",
        "{key: data[key] for key in SAID if data.get(key) is not None}",
        "data",
        f"{INJECTIONS}::{OBEYS}",
    ),
    Mutant(
        "runs what a planner let through beyond the goal's tools",
        f"{COORDINATOR}/accepting.py",
        'for fault in action_faults(action, loop.goal.tools, f"actions[{index}]"):',
        "for fault in ():",
        f"{INJECTIONS}::test_what_a_planner_lets_through_the_coordinator_refuses_before_it_is_run",
    ),
    Mutant(
        "lets a section take more of the prompt than is left",
        f"{PLANNER}/context.py",
        "return Block(block.heading, block.name, cut(block.text, allowed, bound))",
        "return block",
        "tests/unit/test_context.py::test_what_is_kept_fits_and_what_is_lost_is_counted",
    ),
)
