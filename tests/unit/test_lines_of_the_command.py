"""What the command prints stays whole: numbers in tables, commands to copy, words of events."""

from __future__ import annotations

import io

from rich.console import Console

from loopwright.checks import Verify
from loopwright.control import Nudge
from loopwright.events import LoopAdmitted, LoopControlled, LoopHeld
from loopwright.testing import EPOCH, playbook_goal
from loopwright.views import LoopView, view
from loopwright_cli.commands.loops import told
from loopwright_cli.render import checks_table, look_next, loops_table, share, short
from loopwright_cli.trees import forest
from table import Table

NARROW = 80


def printed(item: object, *, soft_wrap: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=NARROW)
    console.print(item, soft_wrap=soft_wrap)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def waiting(name: str = "a-goal-with-quite-a-long-name") -> LoopView:
    seen = view(Table().loop)
    return seen.model_copy(
        update={"name": name, "state": "awaiting_approval", "iteration": 1, "duration_s": 0.2}
    )


def test_a_list_of_loops_cuts_the_goals_name_and_nothing_else_where_it_is_narrow() -> None:
    row = next(line for line in printed(loops_table([waiting()])) if waiting().loop in line)
    assert len(row) <= NARROW
    assert row.endswith("0.2s")
    assert "waiting for approval" in row
    assert "…" in row


def test_a_tree_of_loops_breaks_inside_no_duration() -> None:
    seen = waiting().model_copy(update={"duration_s": 3700.0})
    assert any(line.endswith("1h 01m") for line in printed(forest([seen])[0]))


def test_a_command_to_copy_stays_in_one_line() -> None:
    command = f"/a/long/path/{'x' * 60}/loopwright show {waiting().loop} --data /somewhere"
    assert f"  {command}" in printed(look_next([command]), soft_wrap=True)


def test_one_thing_is_singular_and_what_is_cut_ends_in_an_ellipsis() -> None:
    assert (share(1, None, "action"), share(1, 9, "action")) == ("1 action", "1/9 actions")
    assert short("ab" * 9, 5) == "abab…"


def test_the_log_tells_names_a_persons_words_and_why_a_loop_waits() -> None:
    goal = playbook_goal()
    admitted = LoopAdmitted(tenant="default", goal=goal, goal_digest="", deadline=EPOCH)
    assert told(admitted) == f"  {goal.name}"
    nudged = LoopControlled(control=Nudge(id="request-1", hint="look at\nthe header"))
    assert told(nudged) == "  nudge: look at the header"
    held = LoopHeld(hold="paused", until=EPOCH, detail="a person paused it")
    assert told(held) == "  paused: a person paused it"


def test_the_log_counts_the_actions_that_failed() -> None:
    table = Table()
    table.begin()
    table.plan()
    event = table.execute(succeeded=False)
    assert told(event).endswith("1 action failed")


def test_an_advisory_check_and_a_persons_word_do_not_read_as_failures() -> None:
    checks = [
        {"name": "a", "kind": "file", "path": "a"},
        {"name": "b", "kind": "file", "path": "b"},
        {"name": "tidy", "kind": "file", "path": "c", "required": False},
        {"name": "agreed", "kind": "approval"},
    ]
    plain = playbook_goal()
    verify = Verify.model_validate({"checks": checks})
    table = Table(goal=plain.model_copy(update={"verify": verify}))
    table.begin()
    table.work("a")
    rows = [line.split() for line in printed(checks_table(table.loop))]
    assert ["b", "failed", "m"] in rows
    assert ["tidy", "failed", "(advisory)", "m"] in rows
    assert ["agreed", "waiting", "m"] in rows
