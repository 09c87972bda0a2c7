"""One version for everything that is released together."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_member_has_the_same_version() -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    members = root["tool"]["uv"]["workspace"]["members"]
    versions = {
        member: tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]["version"]
        for member in members
    }
    assert set(versions.values()) == {root["project"]["version"]}, versions


def test_all_is_everything_that_the_local_runtime_needs() -> None:
    extras = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]
    assert extras["optional-dependencies"]["all"] == ["loopwright-cli[local]"]
