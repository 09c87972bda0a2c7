"""Guards of the sandbox, the tools and their effects."""

from __future__ import annotations

from mutation.mutant import Mutant

EXECUTOR = "services/executor/loopwright_executor"
ONCE = "tests/unit/test_once.py"
TOOLS = "tests/integration/test_tools_in_sandbox.py"

_EFFECTS = (
    Mutant(
        "does again what is done",
        f"{EXECUTOR}/once.py",
        'if entry.state == "done" and entry.outcome is not None:',
        "if False:",
        f"{ONCE}::test_what_is_done_is_told_again_and_not_done_again",
    ),
    Mutant(
        "does again what may have happened",
        f"{EXECUTOR}/once.py",
        "        if not ours:",
        '        if not ours and entry.state == "done":',
        f"{ONCE}::test_an_unknown_outcome_is_told_and_the_action_not_done_again",
    ),
    Mutant(
        "asks nobody about an unknown outcome",
        f"{EXECUTOR}/once.py",
        'call.goal.unknown_outcome == "hold"',
        "False",
        f"{ONCE}::test_a_person_is_asked_once_where_the_goal_says_so",
    ),
    Mutant(
        "takes the attempt's number into the idempotency key",
        f"{EXECUTOR}/tools/call.py",
        'f"{self.loop}/{self.iteration}/{self.index}/{self.digest}"',
        'f"{self.loop}/{self.iteration}/{self.index}/{self.attempt}/{self.digest}"',
        f"{ONCE}::test_the_idempotency_key_is_of_the_action_and_not_of_the_attempt",
    ),
)

_REFUSALS = (
    Mutant(
        "goes a step down where the isolation is missing",
        f"{EXECUTOR}/tools/commands.py",
        "LEVELS.index(sandbox.level) >= LEVELS.index(wanted)",
        "True",
        f"{TOOLS}::test_an_action_is_refused_where_the_isolation_that_it_needs_is_missing",
    ),
    Mutant(
        "lets actions follow a nested loop",
        "shared/loopwright/tools/table.py",
        "if action.tool == LAST",
        "if False",
        "tests/unit/test_tools.py::test_a_nested_loop_is_a_plans_last_action",
    ),
)

ROWS: tuple[Mutant, ...] = (*_EFFECTS, *_REFUSALS)
