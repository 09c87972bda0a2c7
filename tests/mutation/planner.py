"""Guards of planning."""

from __future__ import annotations

from mutation.mutant import Mutant

COORDINATOR = "services/coordinator/loopwright_coordinator"
LADDER = "tests/unit/test_ladder.py"

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
)
