"""Names and patterns of a workspace's paths; git itself says what a pattern means."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.workspace.errors import WorkspacePathError
from loopwright.workspace.paths import (
    MAX_DEPTH,
    MAX_PATH_BYTES,
    check_path,
    contained,
    leads_outside,
    matches,
)

MEANT = [
    ("tests/test_a.py", ["tests/**"]),
    ("tests/deep/er/test_a.py", ["tests/**"]),
    ("a/b/conftest.py", ["conftest.py"]),
    ("a/b/conftest.py", ["**/conftest.py"]),
    ("conftest.py", ["**/conftest.py"]),
    ("a/z/y/b", ["a/**/b"]),
    ("a/b", ["a/**/b"]),
    ("a/b/c", ["b/"]),
    ("x.py", ["/*.py"]),
    ("x[1].py", [r"x\[1\].py"]),
    ("xa.py", ["x[!b-d].py"]),
    ("x].py", ["x[]].py"]),
    ("abc/d", ["a**/d"]),
    ("#x", [r"\#x"]),
    ("!x", [r"\!x"]),
    ("x ", ["x\\ "]),
    ("x", ["x   "]),
    ("x", ["[!z-a]"]),
    ("x-", ["x[a-]"]),
    ("x", [r"[\w-z]"]),
    ("keep/x", ["*", "!x", "keep/"]),
    ("tests/sub/x", ["tests/*", "!tests/sub/x"]),
]
NOT_MEANT = [
    ("tests", ["tests/**"]),
    ("atests/x", ["tests/**"]),
    ("a/x.py", ["/*.py"]),
    ("b", ["b/"]),
    ("a/b", ["*", "!a", "!b"]),
    ("x", []),
    ("x", ["", "   ", "#x", "!x"]),
    ("x", ["x[", "x\\"]),
    ("x", ["[z-a]"]),
    ("a/x/b", ["a/b"]),
    ("a/sub/b", ["a/?/b"]),
    ("Tests/x", ["tests/"]),
]


@pytest.mark.parametrize(("path", "patterns"), MEANT)
def test_a_pattern_means(path: str, patterns: list[str]) -> None:
    assert matches(path, patterns)


@pytest.mark.parametrize(("path", "patterns"), NOT_MEANT)
def test_a_pattern_does_not_mean(path: str, patterns: list[str]) -> None:
    assert not matches(path, patterns)


def test_many_stars_and_a_long_name_take_no_time() -> None:
    assert not matches("a" * 255, ["*a" * 60 + "b"])
    assert not matches("/".join("a" * 500), ["/".join(["**", "a"] * 60) + "/b"])


class CheckIgnore:
    """`git check-ignore` in a repository without files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "init", "-q", "--template=", str(folder)], check=True)

    def __call__(self, path: str, patterns: list[str]) -> bool:
        (self.folder / ".gitignore").write_text("".join(f"{line}\n" for line in patterns))
        argv = ["git", "-C", str(self.folder), "check-ignore", "-q", "--no-index", "--", path]
        return subprocess.run(argv, check=False).returncode == 0


@pytest.fixture(scope="module")
def git_says() -> Iterator[CheckIgnore]:
    with tempfile.TemporaryDirectory() as folder:
        yield CheckIgnore(Path(folder))


NAMES = st.text("ab.-", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
SEGMENTS = st.sampled_from(
    ["**", "*", "a", "b", "ab", "?", "a*", "*b", "*a*", "[ab]", "[!a]", "[^b]", "[a-b]*", "."]
)
PATTERNS = st.builds(
    lambda bang, slash, parts, end: bang + slash + "/".join(parts) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(SEGMENTS, min_size=1, max_size=4),
    st.sampled_from(["", "", "/", " "]),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=PATHS, patterns=st.lists(PATTERNS, max_size=4))
def test_patterns_mean_what_they_mean_to_git(
    git_says: CheckIgnore, path: str, patterns: list[str]
) -> None:
    assert matches(path, patterns) == git_says(path, patterns)


@pytest.mark.parametrize(
    "path",
    [
        "", "/a", "a/", "a//b", ".", "a/..", "../a", "a/./b", "a\0b",
        ".git", "a/.git/hooks/x", "a/.GIT", "GIT~1/config",
        "\udcff", "a" * (MAX_PATH_BYTES + 1), "/".join("a" * (MAX_DEPTH + 1)),
    ],
)  # fmt: skip
def test_a_workspace_does_not_hold(path: str) -> None:
    with pytest.raises(WorkspacePathError):
        check_path(path)


@pytest.mark.parametrize("path", ["a", "-rf", "a\nb", ".gitignore", "..a", "a/é", ".git2", " "])
def test_a_workspace_holds(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("links", "outside"),
    [
        ({"l": "a/b"}, False),
        ({"l": "."}, False),
        ({"d/l": "../a"}, False),
        ({"l": "/etc/passwd"}, True),
        ({"l": "../x"}, True),
        ({"d/l": "../../x"}, True),
        ({"l": "a/../../x"}, True),
        ({"l": "m/x", "m": "/etc"}, True),
        ({"l": "d/m/../x", "d/m": ".."}, True),
        ({"l": "m/../x", "m": "a/b"}, False),
        ({"l": "l"}, False),
        ({"l": "m", "m": "l"}, False),
    ],
)
def test_a_link_is_followed_as_the_kernel_follows_it(links: dict[str, str], outside: bool) -> None:
    assert leads_outside("l" if "l" in links else "d/l", links) is outside


def test_a_path_is_contained_unless_it_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to("d")
    (root / "turn").symlink_to("turn")
    assert contained(root, "d/new/x") == root / "d/new/x"
    assert contained(root, "in/x") == root / "in/x"
    for relative in ("", "/etc", "d/../x", "a\0", "out", "out/x", "turn/x"):
        with pytest.raises(WorkspacePathError):
            contained(root, relative)
