"""Guards of operation: who may do what on the bus."""

from __future__ import annotations

from mutation.mutant import Mutant

QUOTA = "tests/faults/test_quota_used_up.py"
PRIVILEGE = "tests/integration/test_least_privilege.py"

ROWS: tuple[Mutant, ...] = (
    Mutant(
        "starts a second local runtime beside one that is starting",
        "cli/loopwright_cli/session.py",
        "if not in_use(place):",
        "if True:",
        "tests/unit/test_starting.py"
        "::test_who_finds_a_runtime_that_is_starting_waits_for_it_and_leaves_its_log",
    ),
    Mutant(
        "believes that the bus is well",
        "cli/loopwright_cli/commands/local.py",
        'Finding("bus", fault is None, fault or connection.url)',
        'Finding("bus", True, connection.url)',
        "tests/unit/test_doctor.py::test_what_the_environment_names_is_looked_at",
    ),
    Mutant(
        "sees nothing stuck where a consumer was deleted",
        "services/coordinator/loopwright_coordinator/watchdog.py",
        "stuck = info.state.messages",
        "stuck = 0",
        "tests/integration/test_watchdog.py"
        "::test_what_a_deleted_consumer_would_have_delivered_is_stuck_until_it_is_back",
    ),
    Mutant(
        "does not tell callers that the bus has no space left",
        "shared/loopwright/asking.py",
        "    except nats.js.errors.APIError as error:\n"
        "        raise BusUnavailableError(refusal(subject, error)) from error\n",
        "",
        f"{QUOTA}::test_nothing_acknowledged_is_lost_callers_are_told_and_it_heals",
    ),
    Mutant(
        "lets a role report for another",
        "shared/loopwright/service/permissions.py",
        'subjects.result(role, "*"),',
        '"result.>",',
        f"{PRIVILEGE}::test_an_identity_may_publish_what_is_agreed_and_nothing_else[executor]",
    ),
    Mutant(
        "lets a worker read the whole log, where the tokens are",
        "shared/loopwright/service/permissions.py",
        '        + Access(hears=(subjects.stop("*"),))',
        '        + _reads(subjects.LOOPS) + Access(hears=(subjects.stop("*"),))',
        f"{PRIVILEGE}::test_an_identity_may_publish_what_is_agreed_and_nothing_else[verifier]",
    ),
    Mutant(
        "puts everyone into one account, so that answers go anywhere",
        "shared/loopwright/service/accounts.py",
        "return CORE if identity in (COORDINATOR, ADMIN) else identity",
        "return CORE",
        f"{PRIVILEGE}::test_an_answer_cannot_be_sent_where_its_asker_may_not_write",
    ),
    Mutant(
        "lets a tenant submit for any",
        "shared/loopwright/service/permissions.py",
        "return _user(identity.removeprefix(TENANT))",
        'return _user("*")',
        f"{PRIVILEGE}::test_an_identity_may_publish_what_is_agreed_and_nothing_else[tenant-acme]",
    ),
    Mutant(
        "leaves the keys before a rotation valid for ever",
        "cli/loopwright_cli/credentials.py",
        "                self._old_seed_file(name).unlink()\n",
        "",
        "tests/unit/test_credentials.py::test_an_old_key_is_valid_until_the_rotation_is_finished",
    ),
    Mutant(
        "lets the state service do anything in the store",
        "cli/loopwright_cli/credentials.py",
        '-@all +@read +@write +@transaction +@connection -@dangerous -@blocking"',
        '+@all"',
        "tests/integration/test_store_access.py"
        "::test_the_state_service_may_read_and_write_its_keys_and_nothing_else",
    ),
)
