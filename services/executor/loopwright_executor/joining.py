"""Taking over what the loops below made: the changes of each, put into this loop's workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loopwright.family import ChildState, Joined
from loopwright.goal import Goal
from loopwright.plan import ActionOutcome
from loopwright.spawn import SPAWN_TOOL
from loopwright.workspace import Workspaces
from loopwright.workspace.paths import contained
from loopwright_executor.tools.call import Call


async def started(_: Call) -> ActionOutcome:
    """The action itself: the loops start when the plan's step is done."""
    return ActionOutcome(tool=SPAWN_TOOL, status="succeeded", stdout="the loops start now")


@dataclass(frozen=True, slots=True)
class Joining:
    """Puts children's changes into a tree."""

    workspaces: Workspaces

    async def run(self, goal: Goal, tree: Path, joined: Sequence[Joined]) -> list[ActionOutcome]:
        """An outcome for each child; the last is a failure where nothing could be taken over."""
        outcomes, owners = list[ActionOutcome](), dict[str, str]()
        for item in joined:
            said = _said(item)
            if not item.taken:
                outcomes.append(_outcome(f"{said}; not taken over"))
                continue
            try:
                paths = await self._take(goal, tree, item.child, owners)
            except _ConflictError as error:
                return [*outcomes, _outcome(f"{said}; {error}", failed=True)]
            outcomes.append(_outcome(f"{said}; taken over: {len(paths)} files"))
        if not any(item.taken for item in joined):
            why = "no loop came to a result that can be taken over"
            outcomes.append(_outcome(why, failed=True))
        return outcomes

    async def _take(
        self, goal: Goal, tree: Path, child: ChildState, owners: dict[str, str]
    ) -> list[str]:
        """Do a child's changes in the tree; the paths. Two children may not change the same."""
        assert child.end is not None
        assert child.end.revision is not None
        base = child.base
        if base is None:
            files = None if child.empty else goal.workspace.files
            base = (await self.workspaces.create(child.id, files)).revision
        changes = await self.workspaces.changed(child.id, base, child.end.revision, child.take)
        async with self.workspaces.checkout(child.id, child.end.revision) as theirs:
            for change in changes:
                path = f"{child.into}/{change.path}" if child.into else change.path
                if owners.setdefault(path, child.name) != child.name:
                    raise _ConflictError(
                        f"'{child.name}' and '{owners[path]}' both changed {path}; "
                        "put them into folders of their own (`into`), or take less (`take`)"
                    )
                _apply(theirs, change.path, tree, path, deleted=change.kind == "deleted")
        return [change.path for change in changes]


class _ConflictError(Exception):
    """Two children changed the same file."""


def _apply(theirs: Path, source: str, tree: Path, path: str, *, deleted: bool) -> None:
    target = contained(tree, path)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if deleted:
        return
    if target.exists():
        raise _ConflictError(f"{path} is a folder here, and a file there")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = theirs / source
    if made.is_symlink():
        target.symlink_to(made.readlink())
        return
    target.write_bytes(made.read_bytes())
    target.chmod(made.stat().st_mode & 0o777)


def _said(item: Joined) -> str:
    """What came of a child, in words that are the same for the same course of things."""
    child, end = item.child, item.child.end
    if end is None:
        return f"{child.name}: still at work"
    checks = f", {end.passed} of {end.checks} checks pass" if end.checks else ""
    return f"{child.name}: {end.outcome} ({end.reason}){checks}"


def _outcome(text: str, *, failed: bool = False) -> ActionOutcome:
    status = "failed" if failed else "succeeded"
    failure = "tool_failed" if failed else None
    return ActionOutcome(tool=SPAWN_TOOL, status=status, stdout=text, failure=failure)
