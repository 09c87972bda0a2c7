"""The ladder of degradation and what follows progress: in order, recorded with their causes."""

from __future__ import annotations

from typing import Any

import pytest

from loopwright.breaker import Refuse
from loopwright.budget import Usage
from loopwright.control import Approve, Reject
from loopwright.control import Retry as TryAgain
from loopwright.errors import ErrorKind, GoalInvalidError
from loopwright.events import LoopEnded, LoopHeld, PlanRequested
from loopwright.goal import parse_goal
from loopwright.marks import plan_digest
from loopwright.plan import Plan
from loopwright.testing import model_goal
from loopwright_coordinator.core import decide
from loopwright_coordinator.inputs import Append, Begin, Woken
from loopwright_coordinator.ladder import ACCOUNT, AT_ONCE, LEADS_DOWN
from table import R2, TOUCH, Table

PRICE = {"input_usd_per_million": "1", "output_usd_per_million": "2"}
CHEAP = {"input_usd_per_million": "0.1", "output_usd_per_million": "0.2"}
RULE = {
    "name": "by-hand",
    "when": {"start": True, "failing": ["a", "b"]},
    "times": 2,
    "do": [{"tool": "shell", "args": {"run": "touch a b"}}],
}
BY_HAND = Plan(summary="by hand", actions=(TOUCH,), rule="by-hand")
BY_MODEL = Plan(summary="by a model", actions=(TOUCH,))


def goal(budget: Any = None, limits: Any = None, **planner: Any) -> Any:
    spec = {
        "backend": "openai",
        "model": "first",
        "price": PRICE,
        "max_input_tokens": 8000,
        "max_output_tokens": 1000,
        "effort": "high",
        "chain": [{"model": "second", "price": CHEAP}],
        "playbook": [RULE],
    }
    budget = budget or {"iterations": 9, "tokens": 10_000_000, "usd": "10", "time": 100_000}
    return model_goal(planner=spec | planner, budget=budget, limits=limits or {})


def asked(event: Any) -> tuple[str, str, str]:
    """Rung, kind and model of a request to plan."""
    assert isinstance(event, PlanRequested), event
    found = event.approach
    return (str(found.rung), found.kind, found.model) if found else ("0", "model", "first")


def wake(table: Table) -> Any:
    held = table.loop.held
    assert held is not None
    table.now = max(table.now, held.until)
    return table.event(Woken())


def fail_until_lower(table: Table, kind: ErrorKind = "overloaded") -> Any:
    before = table.loop.approach.rung if table.loop.approach else 0
    event: Any = None
    for _ in range(10):
        event = table.fail(kind)
        while isinstance(event, LoopHeld) and event.hold == "backing_off":
            event = wake(table)
        if not isinstance(event, PlanRequested) or int(asked(event)[0]) != before:
            return event
    return event


def test_a_loop_falls_rung_by_rung_and_each_is_recorded_with_its_cause() -> None:
    table = Table(goal())
    table.begin()
    seen = [fail_until_lower(table) for _ in range(3)]
    assert [asked(event) for event in seen] == [
        ("1", "model", "second"),
        ("2", "cheaper", "second"),
        ("3", "playbook", "second"),
    ]
    for event in seen:
        change = event.approach.changes[0]
        assert change.setting == "rung"
        assert "overloaded 2 times in a row: it failed" in change.cause
    cheaper = seen[1].approach
    assert (cheaper.max_input_tokens, cheaper.max_output_tokens) == (4000, 500)
    assert cheaper.effort == "low"
    assert seen[2].grant.models == ()
    assert seen[2].grant.reserved.tokens == 0
    assert table.plan(BY_HAND).kind == "execution_requested"


def test_each_rung_is_reserved_at_the_price_of_its_own_model() -> None:
    table = Table(goal())
    first = table.begin()
    assert first.grant.reserved.cost_microusd == 8000 + 2 * 1000
    second = fail_until_lower(table)
    assert second.grant.models == ("second",)
    assert second.price.output_usd_per_million * 10 == 2
    assert second.grant.reserved.cost_microusd == 1000


def test_below_the_last_rung_the_loop_waits() -> None:
    table = Table(goal(playbook=[], ladder={"cheaper": False}))
    table.begin()
    assert asked(fail_until_lower(table)) == ("1", "model", "second")
    held = table.fail("overloaded")
    for _ in range(3):
        assert isinstance(held, LoopHeld)
        assert held.hold == "backing_off"
        assert asked(wake(table))[2] == "second"
        held = table.fail("overloaded")


def test_a_goal_that_names_no_other_way_stays_as_it_was() -> None:
    table = Table(goal(chain=[], playbook=[]))
    assert table.begin().approach is None
    for _ in range(4):
        held = table.fail("overloaded")
        assert isinstance(held, LoopHeld)
        assert wake(table).approach is None


def test_the_models_own_rung_is_tried_again_after_a_while() -> None:
    table = Table(goal(ladder={"recover": "5m"}))
    table.begin()
    fail_until_lower(table)
    table.plan(BY_MODEL)
    table.execute()
    assert asked(table.verdict())[2] == "second"
    table.plan(BY_MODEL)
    table.execute(R2)
    table.now = table.now.replace(hour=table.now.hour + 1)
    climbed = table.verdict(revision=R2)
    assert asked(climbed) == ("0", "model", "first")
    assert climbed.approach.changes[0].now == "first"
    assert "on a lower rung are over" in climbed.approach.changes[0].cause


def test_a_playbook_carries_only_while_a_rule_applies() -> None:
    rule = {**RULE, "times": 1}
    table = Table(goal(chain=[], playbook=[rule], ladder={"cheaper": False}))
    table.begin()
    assert asked(fail_until_lower(table))[1] == "playbook"
    table.plan(BY_HAND)
    table.execute()
    back = table.verdict()
    assert asked(back) == ("0", "model", "first")
    assert back.approach.changes[0].cause == "no rule of the playbook applies any more"
    held = table.fail("overloaded")
    for _ in range(4):
        assert isinstance(held, LoopHeld), "the used-up playbook is no rung any more"
        wake(table)
        held = table.fail("overloaded")


@pytest.mark.parametrize("kind", sorted(AT_ONCE))
def test_a_refusal_leads_down_at_once(kind: ErrorKind) -> None:
    table = Table(goal())
    table.begin()
    event = table.fail(kind)
    assert asked(event)[1] == ("playbook" if kind in ACCOUNT else "model")


@pytest.mark.parametrize("kind", ["internal", "worker_lost", "context_overflow"])
def test_what_another_model_cannot_mend_does_not_lead_down(kind: ErrorKind) -> None:
    assert kind not in LEADS_DOWN
    table = Table(goal(limits={"attempts": 20}))
    table.begin()
    for _ in range(4):
        event = table.fail(kind)
        if isinstance(event, LoopHeld):
            event = wake(table)
        assert asked(event)[0] == "0"


def test_an_endpoint_that_is_not_reached_is_not_asked_for_less() -> None:
    table = Table(goal(chain=[]))
    table.begin()
    assert asked(fail_until_lower(table, "network")) == ("2", "playbook", "first")
    slow = Table(goal(chain=[]))
    slow.begin()
    assert asked(fail_until_lower(slow, "timeout")) == ("1", "cheaper", "first")


def test_useless_answers_lead_down_before_the_loop_is_given_up() -> None:
    table = Table(goal(limits={"attempts": 2}))
    table.begin()
    seen = []
    for _ in range(20):
        event = table.fail("invalid_output")
        if isinstance(event, LoopEnded):
            break
        seen.append(asked(event)[1:])
    # Only a playbook's rules are left at the end; a model that fails on is not asked for ever.
    assert list(dict.fromkeys(seen)) == [
        ("model", "first"),
        ("model", "second"),
        ("cheaper", "second"),
        ("playbook", "second"),
    ]
    assert isinstance(event, LoopEnded)
    assert event.reason == "errors"


def test_a_persons_retry_begins_at_the_top() -> None:
    table = Table(goal(playbook=[], ladder={"after": 1}))
    table.begin()
    fail_until_lower(table)
    fail_until_lower(table)
    assert table.loop.approach is not None
    blocked = table.fail("auth")
    assert isinstance(blocked, LoopHeld)
    assert blocked.hold == "blocked"
    assert asked(table.say(TryAgain(id="again-00001"))) == ("0", "model", "first")


def test_a_dollar_budget_wants_the_price_of_every_model() -> None:
    table = Table(goal(chain=[{"model": "dear"}]))
    ended = table.begin()
    assert ended.reason == "unknown_price"
    assert "'dear'" in ended.detail


def test_an_overflow_makes_the_context_smaller_for_as_long_as_the_model_is_asked() -> None:
    table = Table(goal(limits={"attempts": 20}))
    table.begin()
    smaller = table.fail("context_overflow")
    assert smaller.approach.max_input_tokens == 4000
    assert smaller.approach.changes[0].cause == "the context was too large for the model"
    assert smaller.grant.reserved.tokens == 5000
    table.plan(BY_MODEL)
    table.execute()
    after = table.verdict()
    assert after.approach.max_input_tokens == 4000
    assert after.approach.changes == ()
    assert table.fail("context_overflow").approach.max_input_tokens == 2048


def stuck(table: Table, rounds: int) -> Any:
    event = None
    for _ in range(rounds):
        table.plan(BY_MODEL)
        table.execute(tree="same")
        event = table.verdict("a")
    return event


def test_a_stuck_loop_is_planned_otherwise_and_each_change_has_its_cause() -> None:
    table = Table(goal(stronger={"model": "strong", "price": PRICE}, temperature=0.2))
    table.begin()
    told = stuck(table, 4)
    assert told.notice.level == 1
    assert told.approach.strategy == "rethink"
    assert asked(told)[2] == "first"
    changed = stuck(table, 1)
    assert changed.notice.level == 2
    assert changed.grant.models == ("strong",)
    assert {item.setting for item in changed.approach.changes} == {"model", "temperature"}
    assert all("stuck" in item.cause for item in changed.approach.changes)
    table.plan(BY_MODEL.model_copy(update={"summary": "another"}))
    table.execute(R2)
    better = table.verdict("a", "b", revision=R2)
    assert better.kind == "loop_ended"


def test_progress_brings_the_goals_own_settings_back() -> None:
    table = Table(goal(stronger={"model": "strong", "price": PRICE}))
    table.begin()
    stuck_event = None
    for _ in range(5):
        table.plan(BY_MODEL)
        table.execute(tree="same")
        stuck_event = table.verdict()
    assert asked(stuck_event)[2] == "strong"
    table.plan(Plan(summary="another", actions=()))
    better = table.verdict("a")
    assert asked(better)[2] == "first"
    assert "what called for it is over" in {item.cause for item in better.approach.changes}
    table.plan(BY_MODEL)
    table.execute(R2)
    assert table.verdict("a", revision=R2).approach is None


def test_a_goal_may_want_nothing_to_follow_progress() -> None:
    table = Table(goal(adaptive=False, stronger={"model": "strong", "price": PRICE}))
    table.begin()
    event = stuck(table, 5)
    assert event.notice.level == 2
    assert event.notice.temperature is None
    assert event.approach is None


def test_what_broke_and_what_kept_failing_change_the_strategy() -> None:
    table = Table(goal())
    table.begin()
    table.plan(BY_MODEL)
    table.execute()
    table.verdict("a")
    table.plan(BY_MODEL)
    table.execute(R2)
    broke = table.verdict(revision=R2)
    assert broke.approach.strategy == "restore"
    assert "broke a" in broke.approach.changes[0].cause
    for said in ("x", "y"):
        table.plan(Plan(summary=said, actions=(TOUCH,)))
        event = table.execute(R2, succeeded=False, said=said)
    assert event.approach.strategy == "inspect"


def test_a_question_waits_for_a_person_whose_answer_reaches_the_next_plan() -> None:
    table = Table(goal())
    table.begin()
    asks = Plan(summary="unclear", question="Which of the two?", actions=(TOUCH,))
    held = table.plan(asks, Usage(input_tokens=5, output_tokens=5))
    assert held.hold == "awaiting_approval"
    assert held.wanted.kind == "question"
    assert "Which of the two?" in held.detail
    of = plan_digest(asks)
    told = table.say(Approve(id="answer-0001", of=of, reason="the first"))
    assert told.kind == "plan_requested", "the actions beside a question are not run"
    assert told.hints == ("A person answered: the first",)
    assert told.grant.iteration == 2


def test_a_refused_question_is_told_too() -> None:
    table = Table(goal())
    table.begin()
    asks = Plan(summary="unclear", question="May I?")
    table.plan(asks)
    told = table.say(Reject(id="answer-0001", of=plan_digest(asks), reason="find out yourself"))
    assert told.hints == ("A person rejected this: find out yourself",)


def test_a_model_that_only_asks_is_bounded_by_its_iterations() -> None:
    table = Table(goal(budget={"iterations": 3, "tokens": 10_000_000, "time": 100_000}))
    table.begin()
    event: Any = None
    for number in range(3):
        asks = Plan(summary="?", question=f"And {number}?")
        table.plan(asks)
        event = table.say(Approve(id=f"answer-{number:04}", of=plan_digest(asks)))
    assert event.kind == "loop_ended"
    assert event.reason == "iterations"


def test_a_goals_ladder_is_checked_like_its_rules() -> None:
    data = goal().model_dump(mode="json")
    data["planner"]["playbook"][0]["when"] = {"failing": ["c"]}
    with pytest.raises(GoalInvalidError) as caught:
        parse_goal(data)
    assert caught.value.faults[0].path == "planner.playbook[0].when.failing[0]"


def test_a_model_whose_breaker_is_open_is_gone_round_at_once() -> None:
    table = Table(goal())
    down = {"llm:first": Refuse(table.now, throttled=False, why="it is down")}
    data = begun(table, down)
    assert asked(data) == ("1", "model", "second")
    assert data.grant.models == ("second",)
    assert data.grant.reserved.cost_microusd == 1000
    assert data.approach.changes[0].cause == "it is down"
    down["llm:second"] = down["llm:first"]
    data = begun(table, down)
    assert asked(data)[1] == "playbook"
    assert data.grant.reserved.tokens == 0


def begun(table: Table, down: dict[str, Refuse]) -> Any:
    decision = decide(table.loop, Begin(), table.now, "token", down)
    assert isinstance(decision, Append)
    return decision.data
