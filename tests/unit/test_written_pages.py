"""What the documents have from the code is as the code has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.contract import files, publish
from loopwright_coordinator.pages import pages

DOCS = Path(__file__).parents[2] / "docs"
WRITTEN = {**files(), **pages()}


def test_the_schemas_the_states_and_the_errors_are_up_to_date(
    capsys: pytest.CaptureFixture[str],
) -> None:
    drifted = publish(WRITTEN, [str(DOCS), "--check"])
    assert not drifted, capsys.readouterr().err


@pytest.mark.parametrize("name", ["contract/goal.json", "states.md", "errors.md"])
def test_a_page_that_has_drifted_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(WRITTEN, [str(tmp_path)])
    assert publish(WRITTEN, [str(tmp_path), "--check"]) == 0
    file = tmp_path / name
    file.write_text(file.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    assert publish(WRITTEN, [str(tmp_path), "--check"]) == 1
    assert name in capsys.readouterr().err
