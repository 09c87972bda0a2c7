"""A loop whose model is down: it waits, reserves nothing, goes on when the breaker closes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from loopwright.breaker import Refuse
from loopwright.budget import NOTHING
from loopwright.control import Pause, Resume, Retry
from loopwright.errors import ErrorInfo
from loopwright.events import LoopHeld
from loopwright.results import StepFailed
from loopwright.testing import model_goal
from loopwright_coordinator.core import decide
from loopwright_coordinator.inputs import Append, Begin, ControlArrived, Input, Recovered, Woken
from table import Table

MODEL = "llm:test-model"


@dataclass
class Fleet(Table):
    """A loop on the table whose dependencies may be down."""

    down: Mapping[str, Refuse] | None = None

    def give(self, received: Input, after_s: float = 1.0) -> Any:
        self.now += timedelta(seconds=after_s)
        self.count += 1
        token = f"token-{self.count}"
        decision = decide(self.loop, received, self.now, token, self.down or {})
        if isinstance(decision, Append):
            self.log.append(decision.data, at=self.now, expected=self.loop.tip)
            assert self.log.replay() == self.loop
            if decision.token:
                self.tokens[self.loop.tip] = decision.token
        return decision

    def goes_down(self, wait_s: float = 30.0) -> None:
        until = self.now + timedelta(seconds=wait_s)
        self.down = {MODEL: Refuse(until, throttled=False, why=f"{MODEL} is down: 5 failed")}


@pytest.fixture
def fleet() -> Fleet:
    planner = {"backend": "openai", "model": "test-model", "max_input_tokens": 1000}
    budget = {"iterations": 5, "tokens": 100_000, "time": "1d"}
    return Fleet(model_goal(planner=planner, budget=budget, limits={"patience": "10m"}))


def test_a_loop_that_begins_while_its_model_is_down_waits_and_reserves_nothing(
    fleet: Fleet,
) -> None:
    fleet.goes_down()
    held = fleet.event(Begin())
    assert isinstance(held, LoopHeld)
    assert (held.hold, held.dependency) == ("backing_off", MODEL)
    assert "5 failed" in held.detail
    assert fleet.loop.reserved == fleet.loop.spent == NOTHING
    assert held.until > fleet.now


def test_the_verdict_is_accepted_though_the_next_plan_must_wait(fleet: Fleet) -> None:
    fleet.begin()
    fleet.plan()
    fleet.execute()
    fleet.goes_down()
    held = fleet.verdict("a")
    assert isinstance(held, LoopHeld)
    assert fleet.loop.history[-1].passed == 1
    fleet.down = None
    granted = fleet.event(Recovered(MODEL))
    assert granted.kind == "plan_requested"
    assert granted.grant.iteration == 2


def test_a_failed_execution_is_accepted_though_the_next_plan_must_wait(fleet: Fleet) -> None:
    fleet.begin()
    fleet.plan()
    fleet.goes_down()
    assert isinstance(fleet.execute(succeeded=False), LoopHeld)
    assert not fleet.loop.history[-1].executed
    fleet.down = None
    assert fleet.event(Recovered(MODEL)).grant.iteration == 2


def test_a_loop_that_waits_for_something_else_is_not_woken(fleet: Fleet) -> None:
    fleet.goes_down()
    fleet.event(Begin())
    assert not isinstance(fleet.give(Recovered("llm:other")), Append)
    fleet.down = None
    fleet.event(Woken(), after_s=60)
    assert not isinstance(fleet.give(Recovered(MODEL)), Append)


def test_the_timer_wakes_it_where_nobody_else_does(fleet: Fleet) -> None:
    fleet.goes_down(wait_s=5)
    fleet.event(Begin())
    fleet.down = None
    assert fleet.event(Woken(), after_s=60).kind == "plan_requested"


def test_it_ends_as_failed_when_the_patience_is_over(fleet: Fleet) -> None:
    fleet.goes_down()
    fleet.event(Begin())
    patience = fleet.loop.limits.patience
    while fleet.loop.ended is None:
        began = fleet.loop.failing_since
        assert began is not None
        assert (fleet.now - began).total_seconds() < patience
        fleet.goes_down(wait_s=140)
        fleet.event(Woken(), after_s=100)
    assert (fleet.loop.ended, fleet.loop.reason) == ("failed", "dependency")
    assert "limits.patience is 600 s" in fleet.loop.detail
    assert fleet.loop.spent == NOTHING


def test_a_refused_call_is_waited_for_without_a_strike(fleet: Fleet) -> None:
    fleet.begin()
    for _ in range(fleet.loop.limits.attempts + 2):
        error = ErrorInfo(kind="dependency_down", message="down", retry_after_s=3, dependency=MODEL)
        held = fleet.event(fleet.result(StepFailed(error=error)))
        assert (held.hold, held.dependency) == ("backing_off", MODEL)
        assert fleet.event(Recovered(MODEL)).kind == "plan_requested"
    assert fleet.loop.strikes == 0
    assert fleet.loop.spent == NOTHING


def test_pause_resume_and_retry_keep_their_meaning_while_it_is_down(fleet: Fleet) -> None:
    fleet.goes_down()
    fleet.event(Begin())
    paused = fleet.event(ControlArrived(Pause(id="pause-001")))
    assert paused.hold == "paused"
    assert not isinstance(fleet.give(Recovered(MODEL)), Append)
    held = fleet.event(ControlArrived(Resume(id="resume-01")))
    assert (held.hold, held.dependency) == ("backing_off", MODEL)
    assert fleet.event(ControlArrived(Retry(id="retry-001"))).hold == "backing_off"
    fleet.down = None
    assert fleet.event(ControlArrived(Retry(id="retry-002"))).kind == "plan_requested"
