"""What each scripted step does: a pure function of the seed and of the step's own name.

So a run with the same seed meets the same plans, costs, failures and delays, whichever process
happens to do a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from loopwright.budget import Amount
from loopwright.errors import ErrorKind
from loopwright.goal import Goal
from loopwright.ids import loop_id_for
from loopwright.subjects import Role
from loopwright.testing import model_goal, playbook_goal
from loopwright.wire import Json

#: When the loop ids of every run are dated, so that a seed gives the same ids.
DATE = datetime(2026, 1, 1, tzinfo=UTC)
#: Wall-clock time of a loop, in seconds: far beyond what a run needs, so that it is never the end.
LOOP_S = 120
#: Deadline of a step, in seconds.
STEP_S = 8
#: How long a blocked or exhausted loop waits for a person that never comes, in seconds.
HOLD_S = 3

#: What failing steps fail with; they come again at once or within few seconds, or hold the loop.
FAILURES: tuple[ErrorKind, ...] = (
    "invalid_output",
    "context_overflow",
    "content_filtered",
    "sandbox_limit",
    "rate_limited",
    "overloaded",
    "tool_failed",
    "timeout",
)


@dataclass(frozen=True, slots=True)
class Script:
    """One attempt of one step."""

    delay_s: float
    fails: ErrorKind | None
    """Fails with this after it has used what it uses."""
    refuses: bool
    """Raises StepError before it has used anything."""
    raises: bool
    """Raises something that nobody expects, after it has used what it uses."""
    share: float
    """Of its grant that it uses; 1 is all of it."""
    actions: int
    """Of the plan that it proposes."""
    succeeds: bool
    """Whether its actions do."""


def chance(seed: int, *names: object) -> Random:
    """Randomness that belongs to a name."""
    return Random("/".join(map(str, (seed, *names))))


def script(seed: int, loop: str, role: Role, iteration: int, attempt: int) -> Script:
    """What this attempt does."""
    dice = chance(seed, loop, role, iteration, attempt)
    luck = dice.random()
    return Script(
        delay_s=dice.uniform(0.1, 0.5) if dice.random() < 0.12 else 0.0,
        fails=dice.choice(FAILURES) if luck < 0.05 else "auth" if luck < 0.053 else None,
        refuses=0.06 <= luck < 0.075,
        raises=0.08 <= luck < 0.09,
        share=1.0 if dice.random() < 0.1 else dice.uniform(0.05, 0.5),
        actions=dice.choice((1, 1, 2)),
        succeeds=dice.random() >= 0.04,
    )


def target(seed: int, loop: str) -> int:
    """The iteration from which every check passes; some loops never get there."""
    return chance(seed, loop, "target").choice((1, 2, 2, 2, 3, 3, 3, 4, 4, 99))


def used(reserved: Amount, share: float) -> Amount:
    """That share of a model call's reservation."""
    return Amount(
        tokens=int(reserved.tokens * share), cost_microusd=int(reserved.cost_microusd * share)
    )


def loop_id(seed: int, number: int) -> str:
    """The id under which a loop is submitted."""
    return loop_id_for(DATE, "chaos", str(seed), str(number))


def goal(seed: int, number: int) -> Goal:
    """One loop's goal: most are planned by a model with token and dollar caps, some are tight."""
    loop = loop_id(seed, number)
    dice = chance(seed, loop, "goal")
    budget: dict[str, Json] = {"iterations": 5, "actions": dice.choice((6, 14)), "time": LOOP_S}
    settings: dict[str, Json] = {
        "id": loop,
        "name": f"chaos {number}",
        "stuck": {"repeats": 20, "patience": 1000},
        "limits": {
            "attempts": 6,
            "plan_time": STEP_S,
            "execute_time": STEP_S,
            "verify_time": STEP_S,
            "hold_time": HOLD_S,
            "patience": 30,
        },
        "on_exhausted": dice.choice(("stop", "stop", "hold")),
    }
    if dice.random() < 0.2:
        return playbook_goal(**settings, budget=budget, planner=_playbook())
    budget |= {"tokens": dice.choice((3500, 8000, 8000)), "usd": dice.choice(("0.006", "0.01"))}
    return model_goal(**settings, budget=budget)


def _playbook() -> dict[str, Json]:
    do = [{"tool": "shell", "args": {"run": "touch a b"}}]
    when = {"start": True, "failing": ["a", "b"]}
    return {
        "backend": "playbook",
        "rules": [{"name": "work", "when": when, "times": 50, "do": do}],
    }
