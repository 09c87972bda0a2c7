"""What decides and what folds reaches no I/O, no clock, no randomness, however far it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Where purity is promised; whatever of ours these import, and so on, is looked at too.
ROOTS = (
    "loopwright.audit",
    "loopwright.loop",
    *(f"{path.parent.name}.core" for path in sorted(ROOT.glob("services/*/loopwright_*/core.py"))),
)
#: What a pure module may import that is not ours; and of these modules some names only.
ALLOWED = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "fnmatch",
    "fractions", "functools", "hashlib", "hmac", "itertools", "json", "math", "operator",
    "pydantic", "re", "statistics", "string", "typing",
}  # fmt: skip
IN_PART = {"pathlib": frozenset({"PurePath", "PurePosixPath"})}
#: Modules that also make ids or look at files; these of their names are pure.
MIXED = {
    "loopwright.ids": frozenset({"LOOP_ID_PATTERN", "LoopId", "is_loop_id", "loop_id_for"}),
    "loopwright.workspace.paths": frozenset({"check_path", "matches"}),
}
#: The clock by its methods, and builtins that read the world or differ from process to process.
CLOCK = frozenset({"now", "utcnow", "today"})
BUILTINS = frozenset({"__import__", "eval", "exec", "hash", "id", "input", "open", "print"})


def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    member = module.split(".")[0]
    folders = [ROOT / "shared", *ROOT.glob("services/*")]
    base = next(folder for folder in folders if (folder / member).is_dir())
    path = base.joinpath(*module.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of each import; the name is empty where the whole module is taken."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def ours(tree: ast.Module) -> Iterator[str]:
    """The modules of ours that are imported, wherever in the file."""
    for module, name in imported(tree):
        if module.startswith("loopwright"):
            yield f"{module}.{name}" if name and file_of(f"{module}.{name}") else module


def reached() -> dict[str, ast.Module]:
    """Every module of ours that the roots reach, with its source."""
    found: dict[str, ast.Module] = {}
    ahead = [*ROOTS]
    while ahead:
        module = ahead.pop()
        path = file_of(module)
        if module not in found and path is not None:
            found[module] = ast.parse(path.read_text(encoding="utf-8"))
            ahead += ours(found[module])
    return found


def impurities(tree: ast.Module) -> set[str]:
    """What a module has in it that no pure one may."""
    return {*_imports(tree), *_names(tree)}


def _imports(tree: ast.Module) -> Iterator[str]:
    for module, name in imported(tree):
        if module.startswith("loopwright"):
            pure = f"{module}.{name}" not in MIXED and name in MIXED.get(module, {name})
        else:
            pure = module.split(".")[0] in ALLOWED or name in IN_PART.get(module, ())
        if not pure:
            yield f"{module}.{name}".rstrip(".")


def _names(tree: ast.Module) -> Iterator[str]:
    of_datetime = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module == "datetime")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCK:
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in of_datetime:
                yield f"{root.id}.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from {node.func.id} & BUILTINS


REACHED = reached()


@pytest.mark.parametrize("module", sorted(REACHED.keys() - MIXED.keys()))
def test_a_module_that_decides_or_folds_has_nothing_impure(module: str) -> None:
    assert impurities(REACHED[module]) == set()


def test_every_module_that_decides_is_reached() -> None:
    coordinator = (
        "accepting", "adapt", "detour", "budgets", "core", "exits", "failures", "grants", "inputs",
        "iterations", "ladder", "people", "policy", "seal", "steps", "stuck",
    )  # fmt: skip
    shared = (
        "approach", "budget", "chain", "checks", "control", "events", "fold.accepted",
        "fold.changes", "fold.settlements", "fold.state", "fold.words", "forecast", "goal",
        "iteration", "loop", "marks", "plan", "planners", "playbook", "results", "states",
    )  # fmt: skip
    promised = {f"loopwright_coordinator.{name}" for name in coordinator}
    promised |= {f"loopwright.{name}" for name in shared}
    assert promised <= REACHED.keys()


IMPURE = {
    "import time": "time",
    "import os.path": "os.path",
    "import random as r": "random",
    "from secrets import token_hex": "secrets.token_hex",
    "from uuid import uuid4": "uuid.uuid4",
    "def f():\n    import asyncio": "asyncio",
    "from pathlib import Path": "pathlib.Path",
    "import pathlib": "pathlib",
    "import structlog": "structlog",
    "from nats.aio.client import Client": "nats.aio.client.Client",
    "from loopwright.ids import new_loop_id": "loopwright.ids.new_loop_id",
    "from loopwright import ids": "loopwright.ids",
    "from datetime import datetime\nx = datetime.now()": "datetime.now",
    "from datetime import datetime as d\nf = d.utcnow": "d.utcnow",
    "import datetime as dt\nx = dt.datetime.now(dt.UTC)": "dt.now",
    "from datetime import date\nx = date.today()": "date.today",
    "x = open('f')": "open",
    "x = __import__('time')": "__import__",
    "x = hash('differs by process')": "hash",
}


@pytest.mark.parametrize("source", IMPURE)
def test_what_is_impure_is_seen(source: str) -> None:
    assert impurities(ast.parse(source)) == {IMPURE[source]}


PURE = (
    "from datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC)",
    "from loopwright.ids import LoopId",
    "import hashlib, json, re\nx = received.now",
    "from collections.abc import Mapping",
)


@pytest.mark.parametrize("source", PURE)
def test_what_is_pure_is_let_be(source: str) -> None:
    assert impurities(ast.parse(source)) == set()
