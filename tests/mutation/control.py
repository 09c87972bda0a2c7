"""Guards of the log, the decisions, the claims and the grants: the races of the design."""

from __future__ import annotations

from mutation.mutant import Mutant

COORDINATOR = "services/coordinator/loopwright_coordinator"
SERVICE = "shared/loopwright/service"
DECIDE, PEOPLE = "tests/unit/test_decide.py", "tests/unit/test_people.py"
LINE, LOG = "tests/integration/test_line.py", "tests/integration/test_log.py"
DEADLINES = "tests/unit/test_deadlines.py"
RACES = "tests/integration/test_races.py"
CHAIN, STUCK = "tests/unit/test_chain.py", "tests/unit/test_stuck.py"

_LOG = (
    Mutant(
        "appends where another event came first",
        f"{COORDINATOR}/log.py",
        "expect=Expect(expected, every),",
        "expect=None,",
        f"{LOG}::test_of_many_appends_on_one_tip_one_wins",
    ),
    Mutant(
        "expects the tip of the last subject only",
        f"{COORDINATOR}/log.py",
        "expect=Expect(expected, every),",
        "expect=Expect(expected, subjects.loop_event(event.subject, event.data.kind)),",
        f"{LOG}::test_a_stale_fold_loses_its_append_and_then_reads_the_tip",
    ),
    Mutant(
        "calls a stored append a conflict when its answer is lost",
        f"{COORDINATOR}/log.py",
        "if _is(first, event.id):",
        "if False:",
        f"{LOG}::test_a_stored_append_whose_answer_is_lost_succeeds",
    ),
    Mutant(
        "reads back the newest event instead of the first after the tip",
        f"{COORDINATOR}/log.py",
        "first = await self.bus.next(subjects.LOOPS, every, expected + 1)",
        "first = await self.bus.last(subjects.LOOPS, every)",
        f"{LOG}::test_an_append_whose_answer_is_lost_is_no_conflict_once_another_followed_it",
    ),
    Mutant(
        "folds an event that does not follow",
        "shared/loopwright/loop.py",
        "if event.n != loop.n + 1 or event.prev != loop.head:",
        "if event.n != loop.n + 1:",
        f"{CHAIN}::test_a_flipped_bit_shows",
    ),
    Mutant(
        "changes its state as it likes",
        "shared/loopwright/loop.py",
        "if not may_follow(loop.state, state):",
        "if False:",
        "tests/unit/test_states.py",
    ),
    Mutant(
        "folds what only a newer version may",
        "shared/loopwright/chain.py",
        "if event.minreader > READER:",
        "if False:",
        f"{CHAIN}::test_a_newer_event_is_left_to_a_newer_reader",
    ),
)

_CLAIMS = (
    Mutant(
        "gives one attempt to whoever asks",
        f"{SERVICE}/claims.py",
        "expect=Expect(0, subject)",
        "expect=None",
        f"{LINE}::test_a_redelivery_that_finds_the_claim_taken_reports_the_worker_lost",
    ),
    Mutant(
        "does a step without its claim",
        f"{SERVICE}/worker.py",
        "if not claimed:",
        "if False:",
        f"{LINE}::test_a_redelivery_that_finds_the_claim_taken_reports_the_worker_lost",
    ),
    Mutant(
        "releases a reservation without asking the claim",
        f"{COORDINATOR}/core.py",
        "if loop.open is not None and (over or missed) and received.claim_won is None:",
        "if False:",
        f"{DECIDE}::test_at_a_missed_deadline_the_coordinator_asks_for_the_claim_first",
    ),
    Mutant(
        "takes what it heard of one attempt's claim for another's",
        f"{COORDINATOR}/core.py",
        "received.asked not in (None, loop.open.grant.token_digest)",
        "False",
        f"{DECIDE}::test_an_answer_about_an_earlier_attempts_claim_says_nothing_of_a_later_one",
    ),
    Mutant(
        "releases the reservation of a claimed attempt at its deadline",
        f"{COORDINATOR}/core.py",
        "    if claim_won:\n",
        "    if True:\n",
        f"{DECIDE}::test_a_claimed_attempt_is_charged_in_full_at_its_deadline",
    ),
    Mutant(
        "takes a grant that has expired",
        f"{SERVICE}/worker.py",
        "if datetime.now(UTC) >= grant.deadline:",
        "if False:",
        f"{RACES}::test_a_grant_that_has_expired_is_left_alone",
    ),
    Mutant(
        "stops no step when its loop ends",
        f"{SERVICE}/worker.py",
        "                event.set()\n",
        "                pass\n",
        f"{LINE}::test_cancel_reaches_a_running_step_at_once",
    ),
    Mutant(
        "tells no worker that the loop ended",
        f"{COORDINATOR}/app.py",
        "if decision.stop:",
        "if False:",
        f"{LINE}::test_the_end_of_a_loop_is_told_to_its_workers",
    ),
    Mutant(
        "lets a step run past its deadline",
        f"{SERVICE}/worker.py",
        "            if left <= 0:\n",
        "            if False:\n",
        f"{RACES}::test_a_step_is_stopped_at_its_deadline",
    ),
    Mutant(
        "charges nothing for a step that failed in a way nobody expects",
        f"{SERVICE}/worker.py",
        "return Performed(failed, in_full(data.grant))",
        "return Performed(failed)",
        f"{LINE}::test_a_step_of_which_nobody_knows_what_it_used_is_charged_in_full",
    ),
)

_RESULTS = (
    Mutant(
        "believes a result with another token",
        f"{COORDINATOR}/core.py",
        "if not hmac.compare_digest(loop.open.grant.token_digest, received.token_digest):",
        "if False:",
        f"{DECIDE}::test_a_result_with_another_token_is_ignored",
    ),
    Mutant(
        "takes a result for another grant than it answers",
        f"{COORDINATOR}/core.py",
        "if loop.open is None or loop.open.seq != result.grant_seq:",
        "if loop.open is None:",
        f"{DECIDE}::test_a_late_result_changes_nothing_but_its_usage_is_kept",
    ),
    Mutant(
        "forgets what a late result used",
        f"{COORDINATOR}/core.py",
        "    for item in loop.settled:\n",
        "    for item in ():\n",
        f"{DECIDE}::test_a_late_result_changes_nothing_but_its_usage_is_kept",
    ),
    Mutant(
        "records a late result as often as it comes",
        "shared/loopwright/fold/changes.py",
        "tuple(i for i in loop.settled if i.seq != data.grant_seq)",
        "loop.settled",
        f"{DECIDE}::test_a_late_result_changes_nothing_but_its_usage_is_kept",
    ),
    Mutant(
        "lets one role answer for another",
        f"{COORDINATOR}/accepting.py",
        "if result.role != role or loop.step != role:",
        "if False:",
        f"{DECIDE}::test_another_roles_result_does_not_settle_a_grant",
    ),
    Mutant(
        "accepts a verdict about another revision",
        f"{COORDINATOR}/accepting.py",
        "if loop.revision is not None and verdict.revision != loop.revision:",
        "if False:",
        f"{DECIDE}::test_a_verdict_about_another_revision_is_refused",
    ),
    Mutant(
        "accepts a verdict that leaves a check out",
        f"{COORDINATOR}/accepting.py",
        "if tuple(check.name for check in verdict.checks) != loop.goal.check_names:",
        "if False:",
        f"{DECIDE}::test_a_verdict_that_leaves_a_check_out_is_refused",
    ),
    Mutant(
        "believes the verifier's own score",
        f"{COORDINATOR}/accepting.py",
        'update={"score": loop.goal.score(verdict.passed)}',
        'update={"score": verdict.score or loop.goal.score(verdict.passed)}',
        f"{DECIDE}::test_the_score_of_a_verdict_is_the_coordinators_own",
    ),
    Mutant(
        "achieves with a required check that does not pass",
        f"{COORDINATOR}/iterations.py",
        "if verdict is None or not loop.goal.required_checks <= verdict.passed:",
        "if verdict is None:",
        f"{DECIDE}::test_a_loop_is_achieved_only_when_every_required_check_passes",
    ),
    Mutant(
        "runs an action that the goal does not allow",
        f"{COORDINATOR}/accepting.py",
        "    _refuse_plan(loop, plan)\n",
        "",
        f"{DECIDE}::test_a_plan_beyond_the_goal_is_refused",
    ),
    Mutant(
        "reads the fold no further than its cache before it ignores a result",
        f"{COORDINATOR}/app.py",
        "received, at_least=result.grant_seq)",
        "received, at_least=0)",
        f"{RACES}::test_a_result_is_not_ignored_on_a_fold_that_is_stale",
    ),
)

_BUDGETS = (
    Mutant(
        "sets a cap below what is reserved",
        f"{COORDINATOR}/people.py",
        "used, new = loop.spent + loop.reserved, amend.budget",
        "used, new = loop.spent, amend.budget",
        f"{PEOPLE}::test_no_cap_can_be_set_below_what_is_spent_or_reserved",
    ),
    Mutant(
        "charges nothing for a step of which nobody heard",
        f"{COORDINATOR}/grants.py",
        'charged=NOTHING if status == "not_started" else grant.reserved,',
        "charged=NOTHING,",
        f"{DECIDE}::test_a_lost_worker_is_charged_in_full_and_its_step_granted_again",
    ),
    Mutant(
        "does not name an overrun",
        f"{COORDINATOR}/grants.py",
        "overrun=charged.exceeds(reserved),",
        "overrun=False,",
        f"{DECIDE}::test_an_overrun_is_charged_and_named",
    ),
    Mutant(
        "plans with dollars though no price is known",
        f"{COORDINATOR}/core.py",
        "if usd is not None and unknown:",
        "if False:",
        f"{DECIDE}::test_a_dollar_budget_without_a_known_price_is_rejected",
    ),
    Mutant(
        "lets a goal pass the installation's cap",
        f"{COORDINATOR}/core.py",
        "if received.max_usd is not None and usd is not None and usd > received.max_usd:",
        "if False:",
        f"{DECIDE}::test_the_operators_cap_rejects_a_dearer_goal",
    ),
    Mutant(
        "begins one iteration too many",
        f"{COORDINATOR}/exits.py",
        "if loop.iterations >= most:",
        "if loop.iterations > most:",
        f"{DECIDE}::test_loop_stops_at_its_iteration_budget_and_names_the_best",
    ),
    Mutant(
        "runs more actions than are left",
        f"{COORDINATOR}/exits.py",
        "if left is None or len(plan.actions) <= left:",
        "if True:",
        f"{DECIDE}::test_a_plan_with_more_actions_than_are_left_ends_the_loop",
    ),
    Mutant(
        "sets a cap below what is spent",
        f"{COORDINATOR}/people.py",
        "if cap is not None and cap < value:",
        "if False:",
        f"{PEOPLE}::test_no_cap_can_be_set_below_what_is_spent_or_reserved",
    ),
    Mutant(
        "lets a log grow for ever",
        f"{COORDINATOR}/seal.py",
        "if loop.n + 2 >= loop.limits.events and not isinstance(data, LoopEnded):",
        "if False:",
        f"{PEOPLE}::test_a_log_at_its_cap_ends_the_loop_and_charges_what_is_open",
    ),
)

_PEOPLE = (
    Mutant(
        "does a person's word as often as it comes",
        f"{COORDINATOR}/people.py",
        "    if control.id in loop.controls:\n",
        "    if False:\n",
        f"{PEOPLE}::test_a_word_that_comes_again_is_done_once",
    ),
    Mutant(
        "grants a step to a paused loop",
        f"{COORDINATOR}/seal.py",
        "data = _held_by_a_pause(loop, data)",
        "",
        f"{PEOPLE}::test_a_paused_loop_lets_its_step_finish_and_grants_nothing_more",
    ),
    Mutant(
        "takes the approval of another plan",
        f"{COORDINATOR}/people.py",
        "if said.of != wanted.of:",
        "if False:",
        f"{PEOPLE}::test_a_plan_waits_for_its_approval_and_no_other_is_run",
    ),
    Mutant(
        "runs a plan that waits for approval",
        f"{COORDINATOR}/accepting.py",
        'if "plan" in loop.goal.approvals:',
        "if False:",
        f"{PEOPLE}::test_a_plan_waits_for_its_approval_and_no_other_is_run",
    ),
    Mutant(
        "achieves without the approval that the goal wants",
        f"{COORDINATOR}/iterations.py",
        "if _wants_a_person(after):",
        "if False:",
        f"{PEOPLE}::test_a_verified_result_counts_when_it_is_approved",
    ),
    Mutant(
        "keeps its deadline though it was amended",
        "shared/loopwright/fold/words.py",
        "if amend.budget.time is not None:",
        "if False:",
        f"{PEOPLE}::test_an_amended_deadline_moves_the_loops_end_and_its_timer",
    ),
)

_TIMERS = (
    Mutant(
        "arms no timer",
        f"{COORDINATOR}/app.py",
        "if decision.timer is not None:",
        "if False:",
        f"{LINE}::test_a_missed_deadline_is_noticed_by_the_durable_timer",
    ),
    Mutant(
        "arms no timer again when it looked too early",
        f"{COORDINATOR}/core.py",
        "return Arm(next_look(loop))",
        'return Ignore("nothing is due")',
        f"{DECIDE}::test_a_look_before_anything_is_due_only_arms_the_next",
    ),
    Mutant(
        "relies on a timer that is later than what it must guard",
        f"{COORDINATOR}/seal.py",
        "< armed <= timer.at:",
        "< armed:",
        f"{PEOPLE}::test_an_amended_deadline_moves_the_loops_end_and_its_timer",
    ),
    Mutant(
        "has no sweep for timers that were lost",
        f"{COORDINATOR}/watchdog.py",
        "elif next_look(loop).at < due:",
        "elif False:",
        "tests/integration/test_watchdog.py::test_a_loop_whose_timer_was_lost_ends_with_the_sweep",
    ),
    Mutant(
        "leaves a loop that never began",
        f"{COORDINATOR}/watchdog.py",
        'if loop.state == "admitted" and loop.updated_at < due:',
        "if False:",
        "tests/integration/test_watchdog.py::test_a_loop_that_never_began_is_begun",
    ),
    Mutant(
        "sweeps in every replica",
        f"{COORDINATOR}/watchdog.py",
        "if not (await claim(self.bus, subjects.sweep(period), self.replica)).ours:",
        "if False:",
        "tests/integration/test_watchdog.py::test_one_replica_sweeps_in_a_period",
    ),
)

_DEADLINES = (
    Mutant(
        "plans past the deadline",
        f"{COORDINATOR}/steps.py",
        'before another attempt."""\n    if now >= loop.deadline:',
        'before another attempt."""\n    if False:',
        f"{DEADLINES}::test_nothing_is_granted_after_the_deadline",
    ),
    Mutant(
        "executes past the deadline",
        f"{COORDINATOR}/steps.py",
        'plan to be run."""\n    if now >= loop.deadline:',
        'plan to be run."""\n    if False:',
        f"{DEADLINES}::test_nothing_is_granted_after_the_deadline",
    ),
    Mutant(
        "verifies past the deadline",
        f"{COORDINATOR}/steps.py",
        'revision to be judged."""\n    if now >= loop.deadline:',
        'revision to be judged."""\n    if False:',
        f"{DEADLINES}::test_nothing_is_granted_after_the_deadline",
    ),
    Mutant(
        "waits for ever where its decision fails",
        f"{COORDINATOR}/app.py",
        "return quarantined(loop,",
        "raise RuntimeError(loop,",
        f"{RACES}::test_a_loop_on_which_nothing_can_be_decided_is_quarantined_at_its_deadline",
    ),
    Mutant(
        "looks at no loop after one that cannot be read",
        f"{COORDINATOR}/watchdog.py",
        "except Exception:  # what",
        "except ZeroDivisionError:  # what",
        "tests/integration/test_watchdog.py::test_a_loop_that_cannot_be_read_keeps_none_from_its_look",
    ),
)

_FAILURES = (
    Mutant(
        "retries without end",
        f"{COORDINATOR}/failures.py",
        "    if after.strikes < limits.attempts:\n",
        "    if True:\n",
        f"{DECIDE}::test_failures_in_a_row_end_the_loop",
    ),
    Mutant(
        "does not honour Retry-After",
        f"{COORDINATOR}/policy.py",
        "if error.retry_after_s is not None:",
        "if False:",
        f"{DECIDE}::test_retry_after_is_honoured",
    ),
    Mutant(
        "counts failures though a step succeeded between them",
        "shared/loopwright/fold/settlements.py",
        'return {"failures": 0, "strikes": 0, "failing_since": None, "compact": 0}',
        "return {}",
        f"{DECIDE}::test_a_success_clears_the_failures_before_it",
    ),
    Mutant(
        "leaves a hold before its time",
        f"{COORDINATOR}/core.py",
        "loop.held.kind not in UNTIMED and now >= loop.held.until:",
        "loop.held.kind not in UNTIMED:",
        f"{DECIDE}::test_a_hold_is_not_left_before_its_time",
    ),
    Mutant(
        "does not see that a loop is stuck",
        f"{COORDINATOR}/iterations.py",
        "    found = stuck.answer(folded)\n",
        "    found = None\n",
        f"{STUCK}::test_repeats_and_cycles_are_found_within_their_period",
    ),
)

_ADMISSION = (
    Mutant(
        "gives one tenant's loop to another",
        f"{COORDINATOR}/admission.py",
        "existing.tenant != tenant or ",
        "",
        f"{LINE}::test_an_id_is_not_another_tenants_to_ask_about",
    ),
    Mutant(
        "drops a message that it cannot read",
        f"{SERVICE}/intake.py",
        "            await self._bury(message, str(error))\n        except RetryLaterError",
        "            await message.ack()\n        except RetryLaterError",
        f"{LINE}::test_a_malformed_message_is_a_dead_letter_and_touches_nothing_else",
    ),
)

ROWS: tuple[Mutant, ...] = (
    *_LOG,
    *_CLAIMS,
    *_RESULTS,
    *_BUDGETS,
    *_PEOPLE,
    *_TIMERS,
    *_DEADLINES,
    *_FAILURES,
    *_ADMISSION,
)
