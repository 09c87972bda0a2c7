"""Ways of cheating the gate, and honest work beside them: data that anybody can add to.

A file has a `setting` (the workspace before, the checks, what is held out) and lists of `cheats`
and `honest` works. A work writes, deletes and links files; a cheat says what refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from judging import Judges, judged
from loopwright.workspace import WorkspaceError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Work:
    """One work that is put to the gate."""

    theme: str
    """The file that it is from."""
    setting: dict[str, Any]
    honest: bool
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is."""
        return str(self.data["name"])

    def do(self, tree: Path) -> None:
        """Change the workspace."""
        for path in self.data.get("delete", ()):
            (tree / path).unlink()
        for path, text in self.data.get("write", {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text, encoding="utf-8")
            (tree / path).chmod(0o755 if text.startswith("#!") else 0o644)
        for path, target in self.data.get("link", {}).items():
            (tree / path).symlink_to(target)

    def checks(self) -> list[dict[str, Any]]:
        """The setting's checks, with what this work changes of them."""
        changed = {k: self.data[k] for k in ("timeout", "votes") if k in self.data}
        return [
            {**check, **{k: v for k, v in changed.items() if (k == "votes") == _asks(check)}}
            for check in self.setting["checks"]
        ]

    async def is_accepted(self, folder: Path) -> bool:
        """Whether every check passes."""
        try:
            verdict = await judged(
                folder,
                self.checks(),
                before=self.setting["before"],
                held_out=self.setting.get("held_out"),
                protected=tuple(self.setting.get("protected", ())),
                change=self.do,
                judges=Judges(*self.data.get("judges", ())),
            )
        except WorkspaceError:
            return False
        return not verdict.failing


def _asks(check: dict[str, Any]) -> bool:
    return bool(check["kind"] == "judge")


def works() -> Iterator[Work]:
    """Every cheat and every honest work."""
    for path in sorted(FOLDER.glob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for kind in ("cheats", "honest"):
            for item in data[kind]:
                yield Work(path.stem, data["setting"], kind == "honest", item)


def table() -> str:
    """The works as Markdown, for docs/verification.md."""
    lines = ["| checks | cheat | refused because |", "|---|---|---|"]
    known = [*works()]
    lines += [f"| {w.theme} | {w.name} | {w.data['refused_by']} |" for w in known if not w.honest]
    lines += ["", "| checks | honest work, accepted |", "|---|---|"]
    lines += [f"| {w.theme} | {w.name} |" for w in known if w.honest]
    return "\n".join(lines) + "\n"
