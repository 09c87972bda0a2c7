"""One breaker, by its rules: when it opens, who may probe, what closes it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from loopwright.breaker import (
    RULES,
    Breaker,
    Holder,
    Pass,
    Probe,
    Refuse,
    Word,
    ask,
    force_closed,
    force_open,
    is_down,
    report,
)
from loopwright.records import token
from loopwright.testing import EPOCH

NAME = "llm:test-model"
WORDS: dict[str, Word] = {w: w for w in ("answered", "failed", "throttled", "unknown")}


def holder(number: int = 1, deadline_s: float = 60.0) -> Holder:
    deadline = EPOCH + timedelta(seconds=deadline_s)
    return Holder(loop=f"loop-{number}", role="planner", iteration=1, attempt=1, deadline=deadline)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker(dependency=NAME)
    for _ in range(RULES.failures):
        breaker = say(breaker, "failed", at_s)
    return breaker


def say(
    breaker: Breaker,
    word: Word,
    at_s: float,
    who: Holder | None = None,
    retry_after_s: float | None = None,
) -> Breaker:
    now = EPOCH + timedelta(seconds=at_s)
    return report(breaker, who or holder(), word, "it said so", now, retry_after_s=retry_after_s)


def asked(breaker: Breaker, at_s: float, who: Holder | None = None) -> Pass | Probe | Refuse:
    return ask(breaker, who or holder(), EPOCH + timedelta(seconds=at_s))


def probing(at_s: float = 11.0) -> Breaker:
    found = asked(opened(), at_s)
    assert isinstance(found, Probe)
    return found.record


def test_failures_in_a_row_open_it_and_calls_are_refused_with_the_cause() -> None:
    breaker = opened()
    assert breaker.state == "open"
    assert breaker.changes
    refused = asked(breaker, 1)
    assert isinstance(refused, Refuse)
    assert "it said so" in refused.why
    assert not refused.throttled


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker(dependency=NAME)
    for _ in range(3 * RULES.failures):
        breaker = say(say(breaker, "failed", 0), "answered", 1)
    assert breaker.state == "closed"
    assert not breaker.failures


def test_failures_that_are_far_apart_do_not_open_it() -> None:
    breaker = Breaker(dependency=NAME)
    for number in range(3 * RULES.failures):
        breaker = say(breaker, "failed", number * (RULES.window_s + 1))
    assert breaker.state == "closed"


def test_after_the_cool_down_one_attempt_probes_and_the_others_are_refused() -> None:
    breaker = probing()
    assert breaker.state == "half_open"
    assert breaker.probe == holder()
    assert isinstance(asked(breaker, 12, holder(2)), Refuse)
    assert isinstance(asked(breaker, 12, holder(1)), Pass)  # its own, whose answer was lost


def test_a_probe_that_is_answered_closes_it() -> None:
    closed = say(probing(), "answered", 12)
    assert closed.state == "closed"
    assert closed.changes
    assert isinstance(asked(closed, 12, holder(2)), Pass)


def test_a_probe_that_fails_opens_it_for_twice_as_long() -> None:
    again = say(probing(), "failed", 12)
    assert again.state == "open"
    assert again.until == EPOCH + timedelta(seconds=12 + 2 * RULES.cool_down_s)


def test_the_cool_down_has_a_cap() -> None:
    breaker, now = opened(), 0.0
    for _ in range(40):
        now += 2 * RULES.max_cool_down_s
        found = asked(breaker, now, holder(deadline_s=now + 60))
        assert isinstance(found, Probe)
        breaker = say(found.record, "failed", now, holder(deadline_s=now + 60))
    assert breaker.until == EPOCH + timedelta(seconds=now + RULES.max_cool_down_s)


def test_a_probe_without_a_word_is_over_at_its_deadline() -> None:
    breaker = probing()
    assert isinstance(asked(breaker, 59, holder(2)), Refuse)
    assert isinstance(asked(breaker, 60, holder(2, deadline_s=99)), Probe)


def test_a_probe_that_ends_unknown_lets_another_probe() -> None:
    again = say(probing(), "unknown", 12)
    assert again.state == "open"
    assert isinstance(asked(again, 12 + RULES.cool_down_s, holder(2)), Probe)


def test_only_the_probe_tells_while_it_is_not_closed() -> None:
    for breaker in (opened(), probing()):
        for word in ("answered", "failed", "throttled", "unknown"):
            assert say(breaker, word, 12, holder(7)) is breaker


def test_throttling_makes_everybody_wait_and_never_opens_it() -> None:
    breaker = Breaker(dependency=NAME)
    for _ in range(3 * RULES.failures):
        breaker = say(breaker, "throttled", 0, retry_after_s=7)
    assert breaker.state == "closed"
    refused = asked(breaker, 6, holder(2))
    assert isinstance(refused, Refuse)
    assert refused.throttled
    assert isinstance(asked(breaker, 7, holder(2)), Pass)


def test_no_retry_after_holds_everybody_up_for_longer_than_its_cap() -> None:
    breaker = say(Breaker(dependency=NAME), "throttled", 0, retry_after_s=1e9)
    assert isinstance(asked(breaker, RULES.max_throttle_s), Pass)


def test_what_a_person_opened_stays_open_until_a_person_closes_it() -> None:
    breaker = force_open(Breaker(dependency=NAME), EPOCH, "maintenance")
    assert isinstance(asked(breaker, 1e7), Refuse)
    assert say(breaker, "answered", 5) is breaker
    closed = force_closed(breaker, EPOCH)
    assert isinstance(asked(closed, 1), Pass)
    assert closed.changes


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "answered", "failed", "throttled", "unknown", "open", "close"]),
            st.integers(1, 5),
            st.floats(0, 40),
        ),
        max_size=60,
    )
)
def test_at_most_one_attempt_is_let_through_while_it_is_not_closed(
    steps: list[tuple[str, int, float]],
) -> None:
    breaker, now = Breaker(dependency=NAME), 0.0
    flying: dict[int, Holder] = {}  # probes that were taken and have said nothing yet
    for what, number, wait in steps:
        now += wait
        at = EPOCH + timedelta(seconds=now)
        who = flying.get(number, holder(number, deadline_s=now + 30))
        flying = {n: h for n, h in flying.items() if h.deadline > at}
        match what:
            case "ask":
                found = ask(breaker, who, at)
                if isinstance(found, Probe):
                    breaker = found.record
                    assert not flying, "a second probe"
                    flying[number] = who
                elif isinstance(found, Pass) and breaker.state != "closed":
                    assert list(flying) == [number]
            case "open" | "close":
                change = force_open if what == "open" else force_closed
                breaker, flying = change(breaker, at), {}
            case _:
                breaker = report(breaker, who, WORDS[what], "", at, retry_after_s=3)
                flying.pop(number, None)
        if breaker.state == "open":
            assert is_down(breaker, at) is not None or (breaker.until and breaker.until <= at)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_name_is_one_token_of_a_subject_and_two_names_never_the_same(one: str, two: str) -> None:
    one, two = (t.encode(errors="ignore").decode() for t in (one, two))
    assert not set(token(one)) & set(". *>\t\r\n")
    assert (token(one) == token(two)) == (one == two)
