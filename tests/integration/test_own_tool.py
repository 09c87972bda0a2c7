"""The example of a tool of one's own, found by its entry point as an installed package is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from loopwright.plugins import GROUP, load_own_tools
from loopwright.tools import TOOLS
from tooling import call_of, toolbox

EXAMPLE = Path(__file__).parents[2] / "examples/own-tool"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example with the metadata that its installation would have."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][GROUP]
    info = tmp_path / "loopwright_words-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: loopwright-words\nVersion: 0.1.0\n"
    )
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    load_own_tools.cache_clear()
    yield
    load_own_tools.cache_clear()
    TOOLS.pop("words.count", None)


@pytest.mark.usefixtures("installed")
async def test_an_installed_tool_runs_what_it_runs_in_the_sandbox() -> None:
    box = toolbox(own=tuple(load_own_tools().values()))
    with TemporaryDirectory(prefix="lwtest-") as top:
        Path(top).chmod(0o711)
        tree = Path(top, "workspace")
        tree.mkdir()
        (tree / "a.txt").write_text("three little words\n")
        good = await box.run(call_of(tree, "words.count", path="a.txt"), ("words",))
        bad = await box.run(call_of(tree, "words.count", path="/etc/shadow"), ("words",))
    assert (good.status, good.stdout.split()[0], good.effect) == ("succeeded", "3", "read")
    assert (bad.status, bad.failure) == ("failed", "tool_failed")
