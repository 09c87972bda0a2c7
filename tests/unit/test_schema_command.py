"""Editors find the schema of a goal: `schema` prints it, and `init` puts it beside the goal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from loopwright_cli.__main__ import app
from loopwright_cli.commands.goals import KINDS

PUBLISHED = Path(__file__).parents[2] / "docs/contract/goal.json"


def test_the_schema_that_is_printed_is_the_published_one() -> None:
    assert CliRunner().invoke(app, ["schema"]).stdout == PUBLISHED.read_text(encoding="utf-8")
    assert json.loads(CliRunner().invoke(app, ["schema", "--json"]).stdout) == json.loads(
        PUBLISHED.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_goal_that_init_writes_names_a_schema_that_is_there_and_fits(
    kind: str, tmp_path: Path
) -> None:
    goal = tmp_path / "somewhere" / "mine.yaml"
    goal.parent.mkdir()
    done = CliRunner().invoke(app, ["init", str(goal), "--kind", kind])
    assert done.exit_code == 0, done.output
    text = goal.read_text(encoding="utf-8")
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((goal.parent / named).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_a_schema_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "goal.schema.json").write_text("{}")
    assert CliRunner().invoke(app, ["init", str(tmp_path / "goal.yaml")]).exit_code == 0
    assert (tmp_path / "goal.schema.json").read_text() == "{}"
