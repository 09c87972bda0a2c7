"""The rule of dependencies, read from the imports: services and cli → shared."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = ("loopwright", "loopwright_")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def members() -> list[tuple[str, Path]]:
    folders = [*ROOT.glob("services/*/loopwright_*"), ROOT / "cli/loopwright_cli"]
    return [(folder.name, path) for folder in folders for path in folder.rglob("*.py")]


@pytest.mark.parametrize(("member", "path"), members(), ids=lambda value: str(value)[-60:])
def test_a_member_imports_itself_and_shared_only(member: str, path: Path) -> None:
    own = {name.split(".")[0] for name in imports(path) if name.startswith(OWN)}
    assert own <= {member, "loopwright"}


def test_shared_imports_no_member() -> None:
    for path in (ROOT / "shared").rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("loopwright_")], path


def test_the_sdk_does_not_need_the_chassis() -> None:
    for path in (ROOT / "shared/loopwright").rglob("*.py"):
        if "service" not in path.parts:
            assert not [n for n in imports(path) if n.startswith("loopwright.service")], path


def test_only_the_log_appends_to_loops() -> None:
    writers = [
        path.name
        for _, path in members()
        if "stream=subjects.LOOPS" in path.read_text(encoding="utf-8")
    ]
    assert writers == ["log.py"]
