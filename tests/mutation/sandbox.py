"""Guards of the sandbox, the tools and their effects."""

from __future__ import annotations

from mutation.mutant import Mutant

EXECUTOR = "services/executor/loopwright_executor"
HTTP = "tests/integration/test_tool_http.py"
MCP = "tests/integration/test_tool_mcp.py"
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

_REACH = (
    Mutant(
        "connects to hosts that the goal does not allow",
        f"{EXECUTOR}/tools/reach.py",
        "if not self.network.allows(name, port):",
        "if False:",
        f"{HTTP}::test_a_host_that_is_not_allowed_is_not_asked",
    ),
    Mutant(
        "connects to private addresses",
        f"{EXECUTOR}/tools/reach.py",
        "if not _public(found) and name not in self.private_hosts:",
        "if False:",
        f"{HTTP}::test_a_private_address_is_the_installations_to_allow",
    ),
    Mutant(
        "tells another origin the headers",
        f"{EXECUTOR}/tools/http.py",
        "own = headers if _origin(url) == origin else {}",
        "own = headers",
        f"{HTTP}::test_a_redirect_is_followed_to_allowed_hosts_only",
    ),
    Mutant(
        "calls a request that was cut off a failure to connect",
        f"{EXECUTOR}/tools/http.py",
        'raise StepError("outcome_unknown", f"{args.url}: {_said(error)}") from error',
        'raise StepError("network", f"{args.url}: {_said(error)}") from error',
        f"{HTTP}::test_a_request_that_was_cut_off_has_an_unknown_outcome",
    ),
    Mutant(
        "gives a goal secrets that it does not list",
        f"{EXECUTOR}/tools/secrets.py",
        "if name not in goal.secrets:",
        "if False:",
        f"{HTTP}::test_a_secret_is_put_in_where_the_goal_lists_it_and_shown_nowhere",
    ),
    Mutant(
        "calls tools of a server that the goal does not list",
        f"{EXECUTOR}/tools/mcp.py",
        "if args.tool not in server.tools:",
        "if False:",
        f"{MCP}::test_a_tool_that_the_goal_does_not_allow_is_refused",
    ),
    Mutant(
        "begins an action that another has begun",
        f"{EXECUTOR}/journal.py",
        "return False, found",
        "return True, found",
        "tests/faults/test_effects.py::test_no_effect_happens_twice_while_workers_are_killed",
    ),
)

KEPT = "tests/integration/test_kept_secrets.py"

_SECRETS: tuple[Mutant, ...] = (
    Mutant(
        "commits a secret that a plan has put into the workspace",
        f"{EXECUTOR}/app.py",
        "succeeded = outcomes == ran and not any",
        "succeeded = not any",
        f"{KEPT}::test_an_action_that_may_fail_leaves_no_secret_either",
    ),
    Mutant(
        "tells every service every secret",
        "cli/loopwright_cli/runtime/layout.py",
        " if OWN_SECRETS.get(name, kind) == kind}",
        "}",
        "tests/unit/test_layout.py::test_a_secret_is_told_to_the_services_that_use_it",
    ),
    Mutant(
        "redacts no secret",
        "shared/loopwright/service/logs.py",
        "value = value.replace(secret, REDACTED)",
        "pass",
        f"{HTTP}::test_a_secret_is_put_in_where_the_goal_lists_it_and_shown_nowhere",
    ),
)

ROWS: tuple[Mutant, ...] = (*_EFFECTS, *_REFUSALS, *_REACH, *_SECRETS)
