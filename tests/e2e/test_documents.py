"""What the documents say is so: their goals are valid and run, their commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from installation import ROOT, Installation, installation
from loopwright.checks import CHECK_KINDS, AnyCheck, NamedCheck, Verify
from loopwright.checks.faults import verify_faults
from loopwright.tools import DEFAULT_TOOLS, TOOLS

DOCUMENTS = [ROOT / "README.md", ROOT / "docs/goals.md"]
SERVICES = "coordinator|planner|executor|verifier|state"
TEMPLATES = sorted((ROOT / "cli/loopwright_cli/templates").glob("*.yaml"))


def goals(document: Path) -> list[str]:
    """The whole goals that a document shows."""
    blocks = re.findall(r"```yaml\n(.*?)```", document.read_text(), re.DOTALL)
    return [block for block in blocks if block.startswith("version:")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_goals_of_a_document_are_achieved(document: Path, tmp_path: Path) -> None:
    shown = goals(document)
    assert shown
    with installation(tmp_path / "data") as here:
        for text in shown:
            path = tmp_path / "goal.yaml"
            path.write_text(text)
            assert here.json("run", str(path))["outcome"] == "achieved"


def test_init_writes_a_goal_for_each_kind_that_is_valid_and_runs(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as here:
        for kind in ("command", "data", "code"):
            path = tmp_path / f"{kind}.yaml"
            assert here.run("init", str(path), "--kind", kind).returncode == 0
            assert here.json("validate", str(path))["valid"]
            if kind != "code":
                assert here.json("run", str(path))["outcome"] == "achieved"
        again = here.run("init", str(path))
        assert again.returncode == 2
        assert "exists already" in again.stderr


def test_the_checks_that_the_page_of_verification_shows_are_valid_and_of_every_kind() -> None:
    text = (ROOT / "docs/verification.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    shown = [check for block in blocks for check in yaml.safe_load(block)]
    verify = Verify.model_validate({"checks": shown, "held_out": "held-out"})
    assert list(verify_faults(verify)) == []
    assert {check.kind for check in verify.checks} == CHECK_KINDS


def test_the_page_of_verification_names_every_field_of_every_kind_of_check() -> None:
    text = (ROOT / "docs/verification.md").read_text().partition("## The fields of each kind")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    for kind in get_args(AnyCheck):
        fields = kind.model_fields
        name = get_args(fields["kind"].annotation)[0]
        own = fields.keys() - NamedCheck.model_fields.keys() - {"kind"}
        wanted = {fields[field].alias or field for field in own}
        assert wanted <= set(re.findall(r"`(\w+)`", rows[name])), name


def test_the_page_of_goals_has_every_tool_with_its_arguments_and_the_defaults() -> None:
    text = (ROOT / "docs/goals.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", text, re.MULTILINE))
    for name, spec in TOOLS.items():
        if spec.shown is None:
            assert set(spec.args.model_fields) <= set(re.findall(r"`(\w+)`", rows[name])), name
    assert "by itself " + ", ".join(f"`{name}`" for name in DEFAULT_TOOLS) in text


def test_every_command_that_a_document_names_exists() -> None:
    helped = Installation(ROOT).run("--help").stdout
    exists = set(re.findall(r"^│ ([a-z-]+) ", helped, re.MULTILINE))
    assert len(exists) >= 15
    for document in [*DOCUMENTS, *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md")]:
        named = re.findall(r"(?:bin/|    |`)loopwright ([a-z][a-z-]+)", document.read_text())
        assert set(named) <= exists, document


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        named = re.findall(
            r"^    make ([a-z0-9-]+)|`make ([a-z0-9-]+)", document.read_text(), re.MULTILINE
        )
        assert {a or b for a, b in named} <= targets, document


@pytest.mark.parametrize(
    "path",
    [*TEMPLATES, *ROOT.glob("examples/*/goal*.yaml")],
    ids=lambda path: path.stem + path.parent.name,
)
def test_goal_files_are_valid_under_the_published_schema(path: Path) -> None:
    schema = json.loads((ROOT / "docs/contract/goal.json").read_text())
    Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))


def test_a_wrong_goal_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "goal.yaml"
    path.write_text("name: x\nobjectve: y\n")
    here = Installation(tmp_path / "data")
    refused = here.run("run", str(path))
    assert refused.returncode == 2
    assert "line 2: objectve" in refused.stderr
    assert "did you mean `objective`" in refused.stderr
    assert not (here.data / "runtime.json").exists()
    faults = here.json("validate", str(path), code=2)["faults"]
    assert {fault["path"] for fault in faults} >= {"objectve", "planner", "verify"}


def test_every_file_that_a_document_names_exists() -> None:
    for document in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/decisions/*.md"),
    ]:
        text = document.read_text()
        named = set(
            re.findall(r"`((?:tests|services|shared|cli|deploy|examples|docs)/[\w./-]+)`", text)
        )
        named |= {
            f"services/{service}/loopwright_{service}/{name}"
            for service, name in re.findall(rf"`({SERVICES})/(\w+\.py)`", text)
        }
        missing = [path for path in named if not (ROOT / path).exists()]
        assert not missing, (document.name, missing)


def test_every_link_of_a_document_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text()):
            assert (document.parent / link).exists(), (document, link)
