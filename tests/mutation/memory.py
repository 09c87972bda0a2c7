"""Guards of memory, estimates, replay and forks."""

from __future__ import annotations

from mutation.mutant import Mutant

STATE = "services/state/loopwright_state"
PLANNER = "services/planner/loopwright_planner"
MEMORY, LEARNING = "tests/integration/test_memory.py", "tests/unit/test_learning.py"
FORKS, PROGRAM = "tests/unit/test_forks.py", "tests/integration/test_planner_command.py"

_MEMORY = (
    Mutant(
        "learns again what was forgotten",
        f"{STATE}/memories.py",
        "expect=Expect(0, subject),",
        "expect=None,",
        f"{MEMORY}::test_what_is_forgotten_stays_so_whoever_learns_it_again",
    ),
    Mutant(
        "believes the tenant that a record names",
        f"{STATE}/memories.py",
        "if stored.subject != subjects.memory(record.tenant, record.id):",
        "if False:",
        f"{MEMORY}::test_a_record_on_the_subject_of_another_tenant_is_not_taken",
    ),
    Mutant(
        "tells the story of another tenant's loop",
        f"{STATE}/remembering.py",
        "if story.loop is None or story.loop.tenant != tenant:",
        "if story.loop is None:",
        f"{MEMORY}::test_no_tenant_is_told_what_another_has_learned",
    ),
    Mutant(
        "a log that cannot be read is a dead letter of the learner",
        f"{STATE}/learning.py",
        "except LoopwrightError as error:",
        "except ZeroDivisionError as error:",
        f"{MEMORY}::test_a_log_that_cannot_be_read_teaches_nothing_and_holds_up_nobody",
    ),
    Mutant(
        "tells what has expired",
        f"{STATE}/ranking.py",
        "item.expires_at is None or item.expires_at > now",
        "True",
        f"{LEARNING}::test_an_expired_memory_is_told_no_more",
    ),
    Mutant(
        "believes a failed loop as much as a verified one",
        f"{STATE}/lessons.py",
        """            confidence=BACKED if loop.ended == "achieved" else UNBACKED,""",
        """            confidence=BACKED,""",
        f"{LEARNING}::test_a_lesson_says_what_helped_and_what_did_not",
    ),
    Mutant(
        "a model says which memories it was told",
        f"{PLANNER}/core.py",
        "{key: data[key] for key in SAID if data.get(key) is not None}",
        "{key: value for key, value in data.items() if value is not None}",
        f"{LEARNING}::test_a_model_cannot_say_which_memories_it_was_told",
    ),
    Mutant(
        "a planner cannot do without the state service",
        f"{PLANNER}/recall.py",
        "except (nats.errors.Error, TimeoutError, ConnectionError) as error:",
        "except ZeroDivisionError as error:",
        f"{MEMORY}::test_without_a_state_service_a_planner_goes_on_with_nothing",
    ),
)

_FORKS = (
    Mutant(
        "a fork begins anew",
        "shared/loopwright/loop.py",
        "        return goal.origin.revision",
        "        pass",
        f"{FORKS}::test_a_forked_loop_begins_on_the_revision_and_is_judged_by_its_goals_own_workspace",
    ),
    Mutant(
        "a fork's goal may be given another workspace",
        "shared/loopwright/forks.py",
        "if steps[0] in KEPT:",
        "if False:",
        f"{FORKS}::test_an_assignment_that_names_nothing_is_refused_with_its_path",
    ),
)

_PROGRAM = (
    Mutant(
        "a loop rewrites its own planner",
        f"{PLANNER}/command.py",
        "if goal.verify.protected:  # a loop must not rewrite its own planner",
        "if False:",
        f"{PROGRAM}::test_a_loop_cannot_rewrite_a_protected_planner",
    ),
    Mutant(
        "takes the plan of a program that failed",
        f"{PLANNER}/command.py",
        "if done.exit_code != 0:",
        "if False:",
        f"{PROGRAM}::test_what_is_no_plan_is_refused_with_the_reason",
    ),
    Mutant(
        "a planner program's context holds the grant",
        f"{PLANNER}/command.py",
        'for hidden in ("grant", ',
        "for hidden in (",
        f"{PROGRAM}::test_the_context_holds_no_grant_and_no_token",
    ),
)

ESTIMATES = "tests/unit/test_estimate.py"

_ESTIMATES = (
    Mutant(
        "an estimate is above the budget",
        "shared/loopwright/estimate.py",
        "return item if cap is None else Range(p50=min(item.p50, cap), p90=min(item.p90, cap))",
        "return item",
        f"{ESTIMATES}::test_no_estimate_is_above_the_budget_and_p90_is_not_below_p50",
    ),
    Mutant(
        "the most that three loops took is taken for the ninth decile",
        "shared/loopwright/estimate.py",
        "BEYOND = 1.25",
        "BEYOND = 1.0",
        f"{ESTIMATES}::test_three_like_loops_outweigh_the_shape",
    ),
    Mutant(
        "loops that people cancelled are taken for an end",
        "shared/loopwright/estimate.py",
        'if view.outcome not in (None, "cancelled", "rejected")',
        "if view.outcome",
        f"{ESTIMATES}::test_like_loops_ended_by_themselves_with_a_like_goal",
    ),
)

CASSETTE = "shared/loopwright/service/llm/cassette.py"
CASSETTES = "tests/unit/test_cassette.py"

_CASSETTES = (
    Mutant(
        "writes the key into a cassette",
        CASSETTE,
        "request=self._redactor.value(asked),",
        "request=asked,",
        f"{CASSETTES}::test_no_secret_is_written",
    ),
    Mutant(
        "plays an answer to another question",
        CASSETTE,
        "return exchange.request == asked and",
        "return",
        f"{CASSETTES}::test_a_miss_names_the_first_difference_and_costs_nothing",
    ),
)

ROWS: tuple[Mutant, ...] = (*_CASSETTES, *_MEMORY, *_FORKS, *_PROGRAM, *_ESTIMATES)
