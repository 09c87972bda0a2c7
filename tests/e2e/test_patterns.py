"""The examples of each pattern, end to end, and families as trees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation import ROOT, Installation, installation


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("patterns") / "data") as one:
        yield one


def run(here: Installation, name: str) -> dict[str, Any]:
    """Run an example to its achieved end; the view of its loop."""
    ended = here.json("run", str(ROOT / f"examples/{name}/goal.yaml"))
    assert ended["outcome"] == "achieved", ended
    for loop in [
        ended["loop"],
        *(child["loop"] for child in here.json("show", ended["loop"])["children"]),
    ]:
        assert here.json("verify-log", loop)["violations"] == 0
    return dict(here.json("show", ended["loop"]))


def outcomes(view: dict[str, Any]) -> dict[str, str]:
    return {child["name"]: child["outcome"] for child in view["children"]}


def result(here: Installation, view: dict[str, Any], to: Path) -> Path:
    here.json("result", view["loop"], "--to", str(to))
    return to


def test_a_race_delivers_the_work_of_the_loop_that_is_verified(
    here: Installation, tmp_path: Path
) -> None:
    view = run(here, "race")
    assert outcomes(view)["sorted"] == "achieved"
    assert outcomes(view)["reversed"] in ("cancelled", "exhausted")
    found = result(here, view, tmp_path / "out") / "sorted.txt"
    assert found.read_text() == "apple\nfig\npear\n"


def test_the_best_of_some_drafts_is_taken_and_mended(here: Installation, tmp_path: Path) -> None:
    view = run(here, "best-of")
    scores = {child["name"]: child["score"] for child in view["children"]}
    assert max(scores, key=lambda name: scores[name]) == "draft-wind"
    text = (result(here, view, tmp_path / "out") / "haiku.txt").read_text()
    assert "the sea and the wind" in text
    assert "for the night" in text


def test_a_map_has_a_loop_for_each_item_and_joins_their_work(
    here: Installation, tmp_path: Path
) -> None:
    view = run(here, "map")
    assert outcomes(view) == dict.fromkeys(("north", "south", "west"), "achieved")
    out = result(here, view, tmp_path / "out")
    assert sorted(path.name for path in out.glob("sums/*")) == ["north", "south", "west"]
    assert (out / "report.txt").read_text() == "north 12\nsouth 30\nwest 7\n"
    assert not (out / "sum.txt").exists()


def test_a_nested_loop_is_an_action_whose_work_comes_back(
    here: Installation, tmp_path: Path
) -> None:
    view = run(here, "nested")
    assert outcomes(view) == {"page": "achieved"}
    assert view["iteration"] == 1
    below = here.json("show", view["children"][0]["loop"])
    assert below["parent"] == view["loop"]
    assert below["caps"]["iterations"] == 3
    out = result(here, view, tmp_path / "out")
    assert "<p>Hello.</p>" in (out / "site/page.html").read_text()
    shown = here.run("show", view["loop"]).stdout
    assert f"page achieved score 1.00 2 iterations {below['loop']}" in " ".join(shown.split())
    tree = here.run("ls", "--tree").stdout
    assert tree.index(view["loop"]) < tree.index(below["loop"])
    assert f"── {below['loop']}" in tree
