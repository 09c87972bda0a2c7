"""What an ended loop has taught: the facts that its plans kept, and a lesson about the whole. Pure.

How much is to be believed follows from how the loop ended: only `achieved` is backed by evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from loopwright.events import IterationSummary
from loopwright.loop import Loop
from loopwright.memory import TEXT_CHARS, Kept, fact_id, lesson_id
from loopwright_state.story import Story, line_of

#: Facts of one loop.
MAX_FACTS = 50
#: Of an objective and of a plan's summary, in characters.
OBJECTIVE_CHARS, SUMMARY_CHARS = 500, 240
#: Iterations that a lesson tells of.
TOLD = 6
#: Of facts and lessons of a loop that was verified, and of one that was not.
BACKED, UNBACKED = 0.9, 0.5


def learned(story: Story, at: datetime, life: timedelta | None) -> list[Kept]:
    """Everything to keep of an ended loop; `life` is how long it is told to others."""
    loop = story.loop
    if loop is None or loop.ended is None:
        return []
    expires_at = at + life if life is not None else None
    facts = [_kept(loop, item, at, expires_at) for item in _facts(story)]
    return [*facts, *_lesson(loop, story, at, expires_at)]


def _facts(story: Story) -> list[tuple[int, str]]:
    """Each fact once, with the iteration that first knew it."""
    first: dict[str, tuple[int, str]] = {}
    for iteration, plan in story.plans:
        for text in plan.remember:
            first.setdefault(" ".join(text.casefold().split()), (iteration, text.strip()))
    return [item for key, item in first.items() if key][:MAX_FACTS]


def _kept(loop: Loop, fact: tuple[int, str], at: datetime, expires_at: datetime | None) -> Kept:
    iteration, text = fact
    return Kept(
        id=fact_id(loop.tenant, text),
        tenant=loop.tenant,
        kind="fact",
        text=text[:TEXT_CHARS],
        tags=_tags(loop),
        loop=loop.id,
        iteration=iteration,
        outcome=loop.ended or "",
        confidence=BACKED if loop.ended == "achieved" else UNBACKED,
        at=at,
        expires_at=expires_at,
    )


def _lesson(loop: Loop, story: Story, at: datetime, expires_at: datetime | None) -> Iterator[Kept]:
    if loop.history:
        yield Kept(
            id=lesson_id(loop.id),
            tenant=loop.tenant,
            kind="lesson",
            text="\n".join(_told(loop, story))[:TEXT_CHARS],
            tags=_tags(loop),
            loop=loop.id,
            iteration=loop.best.iteration if loop.best else loop.iteration,
            outcome=loop.ended or "",
            confidence=BACKED if loop.ended == "achieved" else UNBACKED,
            at=at,
            expires_at=expires_at,
        )


def _told(loop: Loop, story: Story) -> Iterator[str]:
    objective = " ".join(loop.goal.objective.split())[:OBJECTIVE_CHARS]
    score = f", best score {loop.best.score:.2f}" if loop.best else ""
    yield f"{loop.goal.name}: {objective}"
    yield f"ended {loop.ended} ({loop.reason}) after {loop.iteration} iterations{score}"
    plans = dict(story.plans)
    helped = [item for item in loop.history if item.turned_green and not item.turned_red]
    for item in helped[-TOLD:]:
        plan = plans.get(item.iteration)
        how = f" [{'; '.join(line_of(a)[:80] for a in plan.actions[:3])}]" if plan else ""
        yield f"helped ({', '.join(item.turned_green)}): {item.summary[:SUMMARY_CHARS]}{how}"
    for item in [item for item in loop.history if item not in helped][-TOLD:]:
        yield f"did not help{_why(item)}: {item.summary[:SUMMARY_CHARS]}"


def _why(item: IterationSummary) -> str:
    if item.turned_red:
        return f" (broke {', '.join(item.turned_red)})"
    return f" ({item.note})" if item.note else ""


def _tags(loop: Loop) -> tuple[str, ...]:
    """Features of the goal: how it plans, which tools it has, what is checked."""
    goal = loop.goal
    checks = (check.kind for check in goal.verify.checks)
    return tuple(dict.fromkeys((goal.planner.backend, *goal.tools, *checks)))
