"""A loop at an earlier point, and the goal that begins there: pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loopwright.audit import Entry
from loopwright.chain import decode_event, digest
from loopwright.errors import GoalInvalidError
from loopwright.forks import NoSuchPointError, after_iteration, assign, forked, state_at
from loopwright.ids import new_loop_id
from loopwright.loop import Loop
from loopwright.testing import MemoryLog, playbook_goal
from loopwright_planner.core import plan_by_rule

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/*.ndjson"))


def entries(path: Path) -> list[Entry]:
    found = []
    for line in path.read_text().splitlines():
        stored = json.loads(line)
        body = stored["body"].encode()
        found.append(Entry(decode_event(body), stored["seq"], digest(body)))
    return found


def longest() -> list[Entry]:
    return max((entries(path) for path in GOLDEN), key=lambda log: _iterations(log))


def _iterations(log: list[Entry]) -> int:
    history = state_at(log, len(log) - 1).history
    return history[-1].iteration if history else 0


def test_a_replay_to_an_event_is_the_fold_of_the_log_up_to_it() -> None:
    log = longest()
    assert [state_at(log, n).n for n in range(len(log))] == list(range(len(log)))
    assert state_at(log, len(log) - 1).ended is not None
    with pytest.raises(NoSuchPointError, match=f"no event {len(log)}; the log has 0 to"):
        state_at(log, len(log))


def test_a_loop_is_found_as_it_was_at_the_end_of_each_iteration() -> None:
    log = longest()
    count = _iterations(log)
    assert count >= 2
    for number in range(1, count + 1):
        state = after_iteration(log, number)
        assert state.history[-1].iteration == number
        assert state.ended is None or number == count
    assert after_iteration(log, 0).state == "admitted"
    with pytest.raises(NoSuchPointError, match=f"0 to {count} to begin after"):
        after_iteration(log, count + 1)


def test_a_fork_takes_over_the_goal_the_revision_and_what_was_done() -> None:
    state = after_iteration(longest(), 1)
    new = new_loop_id()
    goal = forked(state, new, ["budget.iterations=77", "objective=Another way."])
    assert goal.origin is not None
    assert (goal.id, goal.origin.loop, goal.origin.iteration) == (new, state.id, 1)
    assert goal.origin.revision == state.revision
    assert goal.origin.history[0].startswith("1: ")
    assert goal.workspace == state.goal.workspace
    assert (goal.budget.iterations, goal.objective) == (77, "Another way.")


def test_a_forked_loop_begins_on_the_revision_and_is_judged_by_its_goals_own_workspace() -> None:
    state = after_iteration(longest(), 1).model_copy(update={"revision": "b" * 40})
    forked_loop = MemoryLog().admit(forked(state, new_loop_id()))
    assert forked_loop.revision == "b" * 40
    assert forked_loop.goal.workspace == state.goal.workspace
    assert forked_loop.spent.tokens == forked_loop.iteration == 0


def test_a_playbook_goes_on_with_what_failed_where_it_was_forked() -> None:
    goal = playbook_goal()
    rules: Any = [
        {"name": "begin", "when": {"start": True}, "do": [_touch("a")]},
        {"name": "mend-b", "when": {"failing": ["b"]}, "do": [_touch("b")]},
    ]
    book = playbook_goal(planner={"backend": "playbook", "rules": rules}).planner
    assert book.backend == "playbook"
    assert plan_by_rule(book.rules, None, {}).rule == "begin"
    assert plan_by_rule(book.rules, None, {}, ("b",)).rule == "mend-b"
    assert goal.origin is None


def _touch(name: str) -> dict[str, Any]:
    return {"tool": "shell", "args": {"run": f"touch {name}"}}


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("budget.iterations", "is no path=value"),
        ("=3", "is no path=value"),
        ("a..b=3", "is no path=value"),
        ("[0]x=3", "is no path=value"),
        ("id=01JQZZZZZZZZZZZZZZZZZZZZZZ", "'id' cannot be set"),
        ("origin.revision=x", "'origin' cannot be set"),
        ("workspace.files={}", "'workspace' cannot be set"),
        ("verify.checks[9].path=x", r"nothing at verify\.checks\[9\]"),
        ("name.first=x", r"nothing at name\.first"),
    ],
)
def test_an_assignment_that_names_nothing_is_refused_with_its_path(
    assignment: str, sentence: str
) -> None:
    with pytest.raises(NoSuchPointError, match=sentence):
        assign(_written(), assignment)


def test_an_assignment_makes_what_was_left_out_and_reads_json_or_text() -> None:
    data = _written()
    assign(data, "limits.action_time=90s")
    assign(data, "verify.checks[1].path=c")
    assign(data, 'constraints=["only this"]')
    assert data["limits"]["action_time"] == "90s"
    assert data["verify"]["checks"][1]["path"] == "c"
    assert data["constraints"] == ["only this"]


def test_a_fork_whose_goal_is_none_any_more_is_refused_with_the_faults() -> None:
    with pytest.raises(GoalInvalidError, match=r"budget\.iterations"):
        forked(_admitted(), new_loop_id(), ["budget.iterations=none"])


def _written() -> dict[str, Any]:
    return playbook_goal().model_dump(mode="json", by_alias=True, exclude_none=True)


def _admitted() -> Loop:
    return MemoryLog().admit(playbook_goal())
