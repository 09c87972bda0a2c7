"""The page on planning shows a prompt and a plan as they really are."""

from __future__ import annotations

from planner_page import BLOCK, PAGE, example


def test_the_example_of_the_page_is_what_the_planner_asks_and_keeps() -> None:
    shown = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert shown is not None
    assert shown[0] == example(), "write it anew with: cd tests && python -m planner_page"
