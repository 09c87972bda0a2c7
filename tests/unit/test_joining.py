"""Putting the work of children into a workspace: changes, folders, conflicts, nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from loopwright.family import ChildEnd, ChildState, Joined, Slice
from loopwright.ids import new_loop_id
from loopwright.objects import MemoryObjects
from loopwright.plan import ActionOutcome
from loopwright.testing import EPOCH, playbook_goal
from loopwright.workspace import Workspaces
from loopwright.workspace.bundles import share_bundles
from loopwright_executor.joining import Joining

FILES = {"kept.txt": "kept", "gone.txt": "gone", "old/name.txt": "old"}


@dataclass
class Shop:
    """A parent's tree, and children with work of their own."""

    workspaces: Workspaces
    tree: Path

    async def child(
        self,
        name: str,
        changes: Mapping[str, str | None],
        *,
        into: str | None = None,
        take: tuple[str, ...] = ("**",),
        empty: bool = False,
        taken: bool = True,
    ) -> Joined:
        id_ = new_loop_id()
        base = (await self.workspaces.create(id_, None if empty else FILES)).revision
        async with self.workspaces.checkout(id_, base) as theirs:
            for path, text in changes.items():
                if text is None:
                    (theirs / path).unlink()
                else:
                    (theirs / path).parent.mkdir(parents=True, exist_ok=True)
                    (theirs / path).write_text(text)
            made = await self.workspaces.commit(id_, theirs, parent=base, message="m", at=EPOCH)
        end = ChildEnd(
            id=id_, outcome="achieved", reason="verified", iterations=1, revision=made.revision
        )
        state = ChildState(
            id=id_, name=name, slice=Slice(iterations=1), empty=empty, into=into, take=take, end=end
        )
        return Joined(child=state, taken=taken)

    async def join(self, *joined: Joined) -> list[ActionOutcome]:
        goal = playbook_goal(workspace={"files": FILES})
        return await Joining(self.workspaces).run(goal, self.tree, joined)

    def files(self) -> dict[str, str]:
        found = [path for path in self.tree.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.tree)): path.read_text() for path in sorted(found)}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    tree = tmp_path / "tree"
    for path, text in FILES.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    return Shop(Workspaces(tmp_path / "cache", MemoryObjects()), tree)


async def test_what_a_child_added_changed_and_deleted_is_done_here_too(shop: Shop) -> None:
    child = await shop.child("one", {"new.txt": "new", "old/name.txt": "changed", "gone.txt": None})
    (outcome,) = await shop.join(child)
    assert outcome.status == "succeeded"
    assert shop.files() == {"kept.txt": "kept", "new.txt": "new", "old/name.txt": "changed"}


async def test_only_what_is_to_be_taken_is_put_into_the_childs_folder(shop: Shop) -> None:
    child = await shop.child("one", {"a.txt": "a", "b.md": "b"}, into="out/one", take=("*.txt",))
    await shop.join(child)
    assert shop.files() == FILES | {"out/one/a.txt": "a"}


async def test_a_child_that_began_on_nothing_takes_nothing_away(shop: Shop) -> None:
    await shop.join(await shop.child("one", {"kept.txt": "mine"}, empty=True))
    assert shop.files() == FILES | {"kept.txt": "mine"}


async def test_two_children_that_changed_the_same_file_are_a_failure(shop: Shop) -> None:
    one = await shop.child("one", {"same.txt": "1"})
    two = await shop.child("two", {"same.txt": "2"})
    first, second = await shop.join(one, two)
    assert (first.status, second.status) == ("succeeded", "failed")
    assert "'two' and 'one' both changed same.txt" in second.stdout


async def test_the_work_of_a_child_that_is_not_taken_stays_where_it_is(shop: Shop) -> None:
    lost = await shop.child("lost", {"new.txt": "lost"}, taken=False)
    won = await shop.child("won", {"new.txt": "won"})
    assert [item.status for item in await shop.join(lost, won)] == ["succeeded", "succeeded"]
    assert shop.files()["new.txt"] == "won"


async def test_children_without_work_are_a_failure_that_says_so(shop: Shop) -> None:
    outcomes = await shop.join(await shop.child("lost", {"new.txt": "x"}, taken=False))
    assert outcomes[-1].status == "failed"
    assert "can be taken over" in outcomes[-1].stdout
    assert shop.files() == FILES


async def test_a_revision_of_one_loop_is_given_to_another_with_all_it_builds_on(
    tmp_path: Path,
) -> None:
    objects = MemoryObjects()
    ours, theirs = new_loop_id(), new_loop_id()
    here = Workspaces(tmp_path / "here", objects)
    base = (await here.create(ours, {"a": "1"})).revision
    async with here.checkout(ours, base) as tree:
        (tree / "b").write_text("2")
        made = await here.commit(ours, tree, parent=base, message="m", at=EPOCH)
    for _ in range(2):
        await share_bundles(objects, ours, theirs, made.revision)
    there = Workspaces(tmp_path / "there", objects)
    assert await there.read(theirs, made.revision, "a") == b"1"
    assert await there.read(theirs, made.revision, "b") == b"2"
