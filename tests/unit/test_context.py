"""The rolling context: within its limit, its pinned parts always there, its losses recorded."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from loopwright.approach import Approach, Strategy
from loopwright.events import IterationSummary, PlanRequested
from loopwright.plan import ActionOutcome, CheckResult, Outcome, Plan, Verdict
from loopwright.service.llm.fence import Block
from loopwright.service.llm.spend import one_per_byte
from loopwright.tools import Action
from loopwright_planner.context import NO_MARK, Section, fit
from loopwright_planner.prompt import Situation, write_prompt
from loopwright_planner.view import View
from planning import REVISION, grant_for, openai_goal

#: The cap of the twenty goals, in tokens; counted as one a byte, it is 4 kB.
CAP = 4096

blocks = st.builds(Block, st.text(max_size=9), st.text(max_size=9), st.text(max_size=400))
sections = st.lists(
    st.builds(
        Section,
        st.sampled_from(["a", "b", "c"]),
        st.floats(0.0, 1.0),
        st.lists(blocks, max_size=4).map(tuple),
    ),
    max_size=5,
)


#: More than there is room for, so that it must be cut.
TOO_LONG = Section("a", 1.0, (Block("", "", "x" * 2000),))


@given(sections, st.integers(0, 1200))
@example([TOO_LONG], 1200)
def test_what_is_kept_fits_and_what_is_lost_is_counted(found: list[Section], room: int) -> None:
    fitted = fit(found, room, one_per_byte)
    size = sum(one_per_byte(block.fenced(NO_MARK)) for block in fitted.blocks)
    assert size == sum(use.kept for use in fitted.uses) <= room
    for section, use in zip(found, fitted.uses, strict=True):
        assert use.kept <= use.wanted
        assert use.left_out <= len(section.blocks)
    lost = sum(use.left_out for use in fitted.uses)
    assert len(fitted.blocks) + lost == sum(len(section.blocks) for section in found)


def test_with_room_for_all_nothing_is_lost() -> None:
    found = [
        Section("a", 0.5, (Block("h", "n", "text"),)),
        Section("b", 1.0, (Block("h", "", "t"),)),
    ]
    fitted = fit(found, 10_000, one_per_byte)
    assert [use.kept for use in fitted.uses] == [use.wanted for use in fitted.uses]


def state(number: int, iteration: int) -> Situation:
    """A goal of twenty, in one of its iterations, with more to tell than there is room."""
    goal = openai_goal(
        max_input=CAP,
        max_output=1000,
        objective=f"Objective number {number}: " + "detail " * (number % 5),
        constraints=[f"constraint {number}"],
        tools=["file", "shell"],
        budget={"iterations": 30, "tokens": 10_000_000},
    )
    history = tuple(
        IterationSummary(
            iteration=n,
            summary=f"try {n} of {number} " + "x" * (n * number % 90),
            executed=n % 3 != 0,
            score=None if n % 3 == 0 else n / 40,
            note="shell failed with exit code 1" if n % 3 == 0 else "",
            turned_red=("a",) if n % 4 == 0 else (),
        )
        for n in range(1, iteration)
    )
    said = f"line {iteration} " * 300 * (number % 3 + 1)
    check = CheckResult(name="a", status="failed", message="wrong", excerpt=said)
    done = ActionOutcome(tool="shell", status="failed", stdout=said, stderr="é" * 500)
    action = Action(tool="file.write", args={"path": "a", "content": said})
    data: dict[str, Any] = {
        "plan": Plan(summary="the last", actions=(action,)),
        "outcome": Outcome(revision=REVISION, succeeded=False, actions=(done,)),
        "verdict": Verdict(revision=REVISION, checks=(check,), score=0.0),
        "history": history,
    }
    grant = grant_for(goal).model_copy(update={"iteration": iteration})
    files = tuple((f"src/file{n}.py", "code\n" * (n * 37 % 211)) for n in range(30))
    view = View(tuple((path, len(text)) for path, text in files), files)
    return Situation(goal, grant, PlanRequested(grant=grant, **data if iteration > 1 else {}), view)


def test_twenty_goals_over_many_iterations_never_go_over_four_thousand_tokens() -> None:
    evicted = 0
    for number in range(20):
        for iteration in (1, 2, 5, 12, 25):
            prompt = write_prompt(state(number, iteration), CAP, one_per_byte)
            again = write_prompt(state(number, iteration), CAP, one_per_byte)
            assert prompt.tokens(one_per_byte) <= CAP
            assert prompt.digest == again.digest
            assert f"Objective number {number}:" in prompt.user
            assert f"- constraint {number}" in prompt.user
            assert f"This is iteration {iteration} of at most 30." in prompt.system
            if iteration > 1:
                assert "a: failed: wrong" in prompt.user
                assert {"evidence", "failed", "last", "history"} <= {
                    use.name for use in prompt.sections
                } | ({"failed"} if iteration < 4 else set())
            evicted += sum(use.wanted - use.kept for use in prompt.sections)
    assert evicted > 0, "the cap has never been reached, so nothing was tried"


def test_failed_approaches_are_told_once_and_old_iterations_together() -> None:
    prompt = write_prompt(state(1, 25), 60_000, one_per_byte)
    assert "Approaches that failed: do not repeat them" in prompt.user
    assert "24: try 24 of 1" in prompt.user
    assert "1-12: best score 0.28; 4 of them kept nothing" in prompt.user


def test_a_strategy_is_told_to_the_planner() -> None:
    def told(strategy: Strategy) -> str:
        before = state(1, 2)
        approach = Approach(model="m", max_input_tokens=CAP, max_output_tokens=9, strategy=strategy)
        data = before.data.model_copy(update={"approach": approach})
        changed = Situation(before.goal, before.grant, data, before.view)
        return write_prompt(changed, 60_000, one_per_byte).user

    assert "Look first" in told("inspect")
    assert "Mend those first" in told("restore")
