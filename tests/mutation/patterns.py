"""Guards of patterns: slices, joins, cascades, and the caps that the root sets."""

from __future__ import annotations

from mutation.mutant import Mutant

COORDINATOR = "services/coordinator/loopwright_coordinator"
FAMILIES = "tests/unit/test_families.py"
LINE = "tests/integration/test_families_line.py"
JOINING = "tests/unit/test_joining.py"

_SLICES = (
    Mutant(
        "carves a child's slice without reserving it",
        "shared/loopwright/fold/state.py",
        "return granted + sliced(self.children) if self.children else granted",
        "return granted",
        f"{FAMILIES}::test_a_goal_with_a_pattern_begins_with_its_children_and_slices_of_its_budget",
    ),
    Mutant(
        "gives children more together than is left",
        "shared/loopwright/family.py",
        "equal = (left - stated) // open_ if open_ else 0",
        "equal = left if open_ else 0",
        f"{FAMILIES}::test_a_share_that_is_stated_is_the_slice_and_the_others_have_equal_parts",
    ),
    Mutant(
        "carves slices where too little is left",
        "shared/loopwright/family.py",
        "if stated > left or (open_ and equal < 1):",
        "if stated > left + 10**9:",
        f"{FAMILIES}::test_a_parent_that_has_too_little_left_for_its_children_is_out_of_budget",
    ),
    Mutant(
        "forgets what a child has spent",
        "shared/loopwright/fold/families.py",
        '"spent": loop.spent + end.spent,',
        '"spent": loop.spent,',
        f"{FAMILIES}::test_what_is_left_of_a_slice_flows_back",
    ),
    Mutant(
        "does not charge the slices that are open at a parent's end",
        f"{COORDINATOR}/exits.py",
        "spent=loop.spent + sliced(loop.children),",
        "spent=loop.spent,",
        f"{FAMILIES}::test_a_parents_end_charges_the_open_slices_and_ends_its_children",
    ),
    Mutant(
        "carves slices after the deadline",
        f"{COORDINATOR}/families.py",
        """    if now >= loop.deadline:
        return Append(end(loop, now, overdue(loop), settles=settles))
    first =""",
        "    first =",
        f"{FAMILIES}::test_no_slices_are_carved_after_the_deadline",
    ),
    Mutant(
        "lets a child's budget grow past its slice",
        f"{COORDINATOR}/people.py",
        "if cap is not None and new > cap:",
        "if False:",
        f"{FAMILIES}::test_a_childs_budget_cannot_be_made_larger_than_its_slice",
    ),
    Mutant(
        "does not count the iterations of children",
        "shared/loopwright/fold/state.py",
        "return self.iteration + iterations_of(self.children)",
        "return self.iteration",
        f"{FAMILIES}::test_what_is_left_of_a_slice_flows_back",
    ),
)

_CAPS = (
    Mutant(
        "lets loops nest deeper than the root allows",
        "shared/loopwright/children.py",
        "if nesting.depth < 1:",
        "if False:",
        f"{FAMILIES}::test_a_spawn_that_cannot_be_is_refused_before_anything_runs",
    ),
    Mutant(
        "does not pass the depth down",
        "shared/loopwright/spawn.py",
        '"depth": max(0, depth - 1)',
        '"depth": depth',
        f"{FAMILIES}::test_depth_and_fan_out_are_inherited_from_the_root",
    ),
    Mutant(
        "counts the loops of one spawn only",
        "shared/loopwright/children.py",
        "if started + count > nesting.fan_out:",
        "if count > nesting.fan_out:",
        f"{FAMILIES}::test_fan_out_is_over_the_whole_life_of_a_loop",
    ),
)

_CASCADES = (
    Mutant(
        "takes in a child's end twice",
        f"{COORDINATOR}/families.py",
        "if known.end is not None:",
        "if False:",
        f"{FAMILIES}::test_the_end_of_a_child_counts_once",
    ),
    Mutant(
        "leaves children running when their parent ends",
        f"{COORDINATOR}/families.py",
        "if loop.ended is not None:",
        "if False:",
        f"{FAMILIES}::test_a_parents_end_charges_the_open_slices_and_ends_its_children",
    ),
    Mutant(
        "lets the losers of a race run on",
        f"{COORDINATOR}/families.py",
        "if loop.join is not None and race_is_won(loop.join, loop.children):",
        "if False:",
        f"{FAMILIES}::test_a_race_is_won_by_the_first_that_is_verified_and_the_rest_are_cancelled",
    ),
    Mutant(
        "takes over children's work while some are at work",
        "shared/loopwright/family.py",
        "return all(child.end is not None for child in members(join, children))",
        "return True",
        f"{FAMILIES}::test_the_best_of_some_is_the_one_with_the_highest_score",
    ),
    Mutant(
        "resumes a child that a person paused",
        f"{COORDINATOR}/families.py",
        "state.held.detail == WITH_PARENT",
        "state.held.detail != ''",
        f"{FAMILIES}::test_a_child_that_a_person_paused_stays_so_when_its_parent_goes_on",
    ),
    Mutant(
        "starts the children of a loop that is paused",
        f"{COORDINATOR}/seal.py",
        """        case LoopHeld(hold="awaiting_children"):
            accepts = {"execution": data.execution}
""",
        "",
        f"{FAMILIES}::test_a_spawn_of_a_paused_loop_waits_for_its_resume",
    ),
    Mutant(
        "ends a loop that waits for its children at a deadline that was put off",
        f"{COORDINATOR}/seal.py",
        'UNTIMED: tuple[HoldKind, ...] = ("paused", "awaiting_children")',
        'UNTIMED: tuple[HoldKind, ...] = ("paused",)',
        f"{FAMILIES}::test_a_deadline_that_was_put_off_does_not_end_a_loop_that_waits_for_its_children",
    ),
    Mutant(
        "admits a child of a parent that has ended",
        f"{COORDINATOR}/kin.py",
        "if above.ended is not None:",
        "if False:",
        f"{LINE}::test_a_child_of_a_parent_that_has_ended_is_not_started",
    ),
    Mutant(
        "begins a child of a parent that has ended",
        f"{COORDINATOR}/app.py",
        "if isinstance(received, Begin) and await self._orphaned(loop):",
        "if False:",
        f"{LINE}::test_a_child_that_was_admitted_too_late_does_not_begin",
    ),
    Mutant(
        "does not tell children of what becomes of their parent",
        f"{COORDINATOR}/kin.py",
        "if word is not None:",
        "if False:",
        f"{LINE}::test_a_parents_end_ends_its_children",
    ),
)

_JOINS = (
    Mutant(
        "lets the later of two children win a file",
        "services/executor/loopwright_executor/joining.py",
        "if owners.setdefault(path, child.name) != child.name:",
        "if False:",
        f"{JOINING}::test_two_children_that_changed_the_same_file_are_a_failure",
    ),
    Mutant(
        "takes over work that lost",
        "services/executor/loopwright_executor/joining.py",
        "if not item.taken:",
        "if False:",
        f"{JOINING}::test_the_work_of_a_child_that_is_not_taken_stays_where_it_is",
    ),
    Mutant(
        "calls a join of nothing a success",
        "services/executor/loopwright_executor/joining.py",
        "if not any(item.taken for item in joined):",
        "if False:",
        f"{JOINING}::test_children_without_work_are_a_failure_that_says_so",
    ),
    Mutant(
        "takes a race's word for verified work",
        "shared/loopwright/family.py",
        'if c.end and c.end.outcome == "achieved" and c.end.revision]',
        "if c.end and c.end.revision]",
        f"{FAMILIES}::test_a_race_takes_over_no_work_that_was_not_verified",
    ),
)

ROWS: tuple[Mutant, ...] = (*_SLICES, *_CAPS, *_CASCADES, *_JOINS)
