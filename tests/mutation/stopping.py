"""Guards of stopping: what was stopped is begun by nobody, and people hear of it once."""

from __future__ import annotations

from mutation.mutant import Mutant

COORDINATOR = "services/coordinator/loopwright_coordinator"
SERVICE = "shared/loopwright/service"
ORDER, PEOPLE = "tests/unit/test_exit_order.py", "tests/unit/test_people.py"
WATCHDOG = "tests/integration/test_watchdog.py"
NOTICES, STOP = "tests/unit/test_notices.py", "tests/integration/test_stop.py"

ROWS: tuple[Mutant, ...] = (
    Mutant(
        "leaves a stopped loop's grant in the queue to be begun",
        f"{COORDINATOR}/app.py",
        "if decision.stop and loop.open is not None:",
        "if False:",
        f"{STOP}::test_a_queued_grant_of_a_stopped_loop_is_not_begun",
    ),
    Mutant(
        "works on for a loop that ended while the signal was not heard",
        f"{SERVICE}/worker.py",
        "if await self._is_settled(loop, message.metadata.sequence.stream):",
        "if False:",
        f"{STOP}::test_a_worker_that_did_not_hear_the_signal_stops_at_a_heartbeat",
    ),
    Mutant(
        "forgets for whom a child is paused when its step ends",
        f"{COORDINATOR}/seal.py",
        'detail=loop.held.detail if loop.held else "",',
        'detail="",',
        "tests/unit/test_families.py::test_a_child_whose_step_ends_while_it_is_paused_goes_on_with_its_parent",
    ),
    Mutant(
        "delivers an earlier revision of the same score than the one that is verified",
        f"{COORDINATOR}/exits.py",
        "best=as_best(loop, achieved) if achieved else loop.best,",
        "best=loop.best,",
        f"{PEOPLE}::test_the_approved_revision_is_delivered_and_not_a_rejected_one_of_the_same_score",
    ),
    Mutant(
        "tells of a pause again when the running step ends",
        "services/state/loopwright_state/notices.py",
        'case LoopHeld(hold="paused") if data.settles is not None and not _is_said(data):',
        'case LoopHeld(hold="paused") if False:',
        f"{NOTICES}::test_a_pause_is_told_once_though_a_step_ran_when_it_was_said",
    ),
    Mutant(
        "reads no warnings that come with a child's end",
        f"{SERVICE}/consumers.py",
        '"child_settled", "loop_ended")',
        '"loop_ended")',
        f"{NOTICES}::test_every_event_that_may_warn_is_read",
    ),
    Mutant(
        "has no way from a judge's spent budget back to verifying",
        "shared/loopwright/states.py",
        '    ("budget_exhausted", "verifying"): "amend",\n',
        "",
        f"{PEOPLE}::test_a_loop_held_for_its_judges_budget_goes_on_when_it_is_raised",
    ),
    Mutant(
        "takes a claim that was forgotten for one that never was",
        f"{COORDINATOR}/app.py",
        "held.owner == COORDINATOR and not _forgotten(loop, grant, datetime.now(UTC))",
        "held.owner == COORDINATOR",
        f"{STOP}::test_an_attempt_older_than_the_claims_are_kept_counts_as_begun",
    ),
    Mutant(
        "lets a result count that a check's person did not approve",
        "shared/loopwright/audit.py",
        'if (asked or "result" in ledger.goal.approvals) and verdict',
        'if "result" in ledger.goal.approvals and verdict',
        "tests/unit/test_audit.py::test_an_approval_check_that_nobody_approved_is_found",
    ),
    Mutant(
        "calls a loop stalled whose budget is used up",
        f"{COORDINATOR}/iterations.py",
        "    if over is not None:\n",
        "    if over is not None and not isinstance(stuck.answer(folded), Exit):\n",
        f"{ORDER}::test_a_budget_that_is_used_up_comes_before_stuck",
    ),
    Mutant(
        "calls a loop exhausted whose time is over",
        f"{COORDINATOR}/exits.py",
        "    if now >= loop.deadline:\n        return overdue(loop)\n    most",
        "    most",
        f"{ORDER}::test_the_deadline_comes_before_a_budget_that_is_used_up",
    ),
    Mutant(
        "leaves a loop whose log cannot be read open for ever",
        f"{COORDINATOR}/watchdog.py",
        "except UNREADABLE as error:",
        "except ZeroDivisionError as error:",
        f"{WATCHDOG}::test_a_loop_whose_log_cannot_be_read_ends_at_its_deadline",
    ),
    Mutant(
        "ends a loop that a newer version goes on with",
        f"{COORDINATOR}/unreadable.py",
        "    if isinstance(error, NewerError):\n        raise error\n",
        "",
        f"{WATCHDOG}::test_a_loop_of_a_newer_version_is_left_to_it",
    ),
)
