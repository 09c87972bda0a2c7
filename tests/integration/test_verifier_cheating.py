"""A hostile planner cannot get `achieved`: what tests/cheats lists is refused, honest work is not.

What cannot be refused here is said in `loopwright_verifier.commands`: tests share a process with
the code that they test, so an object that equals everything passes an `==`, and code that takes
pytest's worker apart can make it report what it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cheats import Work, table, works
from judging import judged

TESTS = """\
from area import square


def test_two():
    assert square(2) == 4


def test_three():
    assert square(3) == 9
"""
RIGHT = "def square(x):\n    return x * x\n"
WRONG = "def square(x):\n    return 5\n"
CHECK = {
    "name": "tests",
    "kind": "test_report",
    "paths": ["test_area.py"],
    "tests": ["test_area.py::test_two", "test_area.py::test_three"],
    "timeout": 30,
}


def writes(**files: str) -> Callable[[Path], None]:
    """A change that writes files; `__` in a name is a dot."""

    def change(tree: Path) -> None:
        for name, text in files.items():
            path = tree / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return change


@pytest.mark.parametrize("work", [*works()], ids=lambda work: work.name.replace(" ", "-"))
async def test_a_cheat_is_refused_and_honest_work_is_not(work: Work, tmp_path: Path) -> None:
    assert await work.is_accepted(tmp_path) == work.honest


def test_the_documents_list_every_cheat() -> None:
    page = Path(__file__).parents[2] / "docs/verification.md"
    assert table() in page.read_text(encoding="utf-8")


async def test_tests_that_were_put_back_are_named(tmp_path: Path) -> None:
    change = writes(area__py=RIGHT, test_area__py="broken", conftest__py="1/0")
    verdict = await judged(
        tmp_path, [CHECK], before={"test_area.py": TESTS}, change=change, protected=("test_*.py",)
    )
    assert verdict.checks[0].status == "passed"
    assert verdict.restored == ("conftest.py", "test_area.py")


async def test_a_check_cannot_prepare_the_ground_for_the_next(tmp_path: Path) -> None:
    checks = [
        {"name": "first", "kind": "command", "run": "echo yes > done.txt"},
        {"name": "second", "kind": "command", "run": "test -e done.txt"},
        {"name": "third", "kind": "file", "path": "done.txt"},
    ]
    verdict = await judged(tmp_path, checks)
    assert [check.status for check in verdict.checks] == ["passed", "failed", "failed"]


async def test_the_held_out_folder_is_closed_to_tests_of_the_workspace(tmp_path: Path) -> None:
    peek = (
        "import glob, os\n\n\ndef test_peek():\n"
        "    assert not os.environ.get('LOOPWRIGHT_HELD_OUT')\n"
    )
    look = f"    assert not glob.glob('{tmp_path}/root/*/work/secret.txt')\n"
    check = {"name": "t", "kind": "test_report", "paths": ["test_peek.py"]}
    verdict = await judged(
        tmp_path, [check], before={"test_peek.py": peek + look}, held_out={"secret.txt": "s"}
    )
    assert verdict.checks[0].status == "passed", verdict.checks[0].excerpt


async def test_held_out_tests_judge_what_no_plan_has_seen(tmp_path: Path) -> None:
    hidden = {"test_area.py": TESTS}
    for module, status in ((RIGHT, "passed"), (WRONG, "failed")):
        folder = tmp_path / status
        folder.mkdir()
        verdict = await judged(folder, [CHECK], change=writes(area__py=module), held_out=hidden)
        assert verdict.checks[0].status == status, verdict.checks[0].message


async def test_a_process_left_behind_changes_nothing_later(tmp_path: Path) -> None:
    late = "(setsid sh -c 'sleep 1; echo late > late.txt' &) ; exit 0"
    checks = [
        {"name": "spawns", "kind": "command", "run": late},
        {"name": "waits", "kind": "command", "run": "sleep 2; test ! -e late.txt"},
    ]
    verdict = await judged(tmp_path, checks)
    assert [check.status for check in verdict.checks] == ["passed", "passed"]
