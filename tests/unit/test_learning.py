"""What an ended loop teaches, and which memories fit a text: pure."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.audit import Entry
from loopwright.chain import digest
from loopwright.memory import Kept, fact_id
from loopwright.plan import Plan
from loopwright.testing import EPOCH, MemoryLog, model_goal
from loopwright_planner.core import read_plan
from loopwright_state.lessons import BACKED, MAX_FACTS, UNBACKED, learned
from loopwright_state.ranking import alive, best, lexical, recalled, words
from loopwright_state.story import Story, tell
from table import R2, TOUCH, Table

LIFE = timedelta(days=30)


def story_of(log: MemoryLog) -> Story:
    entries = zip(log.events, log.seqs, log.bodies, strict=True)
    return tell(Entry(event, seq, digest(body)) for event, seq, body in entries)


def two_iterations(*facts: tuple[str, ...], last: tuple[str, ...] = ("a", "b")) -> MemoryLog:
    """A loop that has half of it after its first iteration, and the rest after the second."""
    table = Table(model_goal())
    table.begin()
    for number, (remember, passed) in enumerate(zip(facts, (("a",), last), strict=True)):
        table.plan(Plan(summary=f"step {number + 1}", actions=(TOUCH,), remember=remember))
        table.execute(f"{number + 1}" * 40)
        table.verdict(*passed, revision=f"{number + 1}" * 40)
    while table.loop.ended is None:
        table.plan(Plan(summary="again", actions=(TOUCH,)))
        table.execute(R2)
        table.verdict(*last, revision=R2)
    return table.log


def test_each_fact_is_kept_once_with_the_iteration_that_knew_it_first() -> None:
    story = story_of(two_iterations(("Ports are odd.",), ("ports  are ODD.", "Keys are even.")))
    facts = [item for item in learned(story, EPOCH, LIFE) if item.kind == "fact"]
    assert [(f.text, f.iteration) for f in facts] == [("Ports are odd.", 1), ("Keys are even.", 2)]
    assert {f.expires_at for f in facts} == {EPOCH + LIFE}
    assert {f.confidence for f in facts} == {BACKED}


def test_a_lesson_says_what_helped_and_what_did_not() -> None:
    story = story_of(two_iterations((), (), last=("a",)))
    (lesson,) = learned(story, EPOCH, None)
    assert lesson.kind == "lesson"
    assert lesson.confidence == UNBACKED
    assert lesson.expires_at is None
    assert "helped (a): step 1 [shell touch a b]" in lesson.text
    assert "did not help: step 2" in lesson.text
    assert "openai" in lesson.tags


def test_of_a_loop_that_has_not_ended_nothing_is_learned() -> None:
    table = Table(model_goal())
    table.begin()
    table.plan(Plan(summary="s", actions=(TOUCH,), remember=("Something.",)))
    assert learned(story_of(table.log), EPOCH, LIFE) == []


def test_a_loop_cannot_fill_the_memory() -> None:
    table = Table(model_goal(budget={"iterations": 50, "tokens": 10**6, "usd": 5}))
    table.begin()
    for number in range(4):
        remember = tuple(f"fact {number} {m}" for m in range(20))
        table.plan(Plan(summary=f"step {number}", actions=(TOUCH,), remember=remember))
        table.execute(f"{number}" * 40, said=str(number))
        table.verdict(*(("a", "b") if number == 3 else ("a",)), revision=f"{number}" * 40)
    found = [m for m in learned(story_of(table.log), EPOCH, LIFE) if m.kind == "fact"]
    assert len(found) == MAX_FACTS < 4 * 20


def test_the_story_of_a_log_has_an_episode_for_each_iteration() -> None:
    episodes = story_of(two_iterations((), ())).episodes
    assert [item.iteration for item in episodes] == [1, 2]
    assert "shell touch a b" in episodes[0].text
    assert "b: m" in episodes[0].text


def test_the_same_words_are_the_same_fact_within_a_tenant_only() -> None:
    assert fact_id("t", "Ports are  odd.") == fact_id("t", "ports are odd.")
    assert fact_id("t", "ports are odd.") != fact_id("u", "ports are odd.")


def test_a_model_cannot_say_which_memories_it_was_told() -> None:
    plan = read_plan('{"summary": "s", "actions": [], "recalled": ["fact-x"]}', (), ())
    assert isinstance(plan, Plan)
    assert plan.recalled == ()


def kept(text: str, number: int = 0, confidence: float = 0.9) -> Kept:
    return Kept(
        id=f"fact-{number:08}", tenant="t", kind="fact", text=text, loop="l",
        confidence=confidence, at=EPOCH, expires_at=EPOCH + LIFE,
    )  # fmt: skip


TEXTS = (
    "Dates in the export are written day first, with dots.",
    "The exporter writes CSV with a semicolon.",
    "pytest needs the package to be installed first.",
)


def ranked(question: str, *memories: Kept, k: int = 5) -> list[str]:
    found = [recalled(item) for item in memories]
    return [item.text for item in best(found, lexical([m.text for m in found], question), k)]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("normalise the date column", TEXTS[0]),
        ("read the semicolon separated csv", TEXTS[1]),
        ("the tests of pytest do not find the package", TEXTS[2]),
    ],
)
def test_the_memory_that_shares_the_telling_words_is_the_first(question: str, first: str) -> None:
    memories = [kept(text, number) for number, text in enumerate(TEXTS)]
    assert ranked(question, *memories)[0] == first


def test_what_shares_no_word_is_not_recalled() -> None:
    assert ranked("zebra", kept(TEXTS[0])) == []
    assert ranked("the of and", kept(TEXTS[0])) == []
    assert ranked("anything") == []


def test_of_two_that_fit_alike_the_more_believed_is_first_and_then_the_lower_id() -> None:
    doubted, backed, other = kept("odd port", 1, 0.5), kept("odd port", 2), kept("odd port", 3)
    found = [recalled(item) for item in (other, doubted, backed)]
    order = [item.id for item in best(found, lexical([f.text for f in found], "odd port"), 5)]
    assert order == [backed.id, other.id, doubted.id]


def test_an_expired_memory_is_told_no_more() -> None:
    item = kept("odd")
    assert alive([item], EPOCH + LIFE - timedelta(seconds=1)) == [item]
    assert alive([item], EPOCH + LIFE) == []


def test_words_of_a_name_are_its_parts_and_plurals_are_singular() -> None:
    assert words("parse_durations parseDuration CLASS") == [
        "parse", "duration", "parse", "duration", "class",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=40))
def test_any_texts_can_be_compared(texts: list[str], question: str) -> None:
    scores = lexical(texts, question)
    assert len(scores) == len(texts)
    assert scores == lexical(texts, question)
    assert all(score >= 0 for score in scores)
