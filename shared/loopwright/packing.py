"""A goal's folders on their way into the object store, and the workspaces that are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.errors import BusUnavailableError, Fault, GoalInvalidError
from loopwright.goal import Goal, Workspace
from loopwright.objects import NatsObjects
from loopwright.workspace import Workspaces
from loopwright.workspace.sources import read_git
from loopwright.workspace.trees import Item


@asynccontextmanager
async def workspaces_of(nc: Nats) -> AsyncIterator[Workspaces]:
    """The loops' workspaces, in a cache that goes when the block ends."""
    with TemporaryDirectory(prefix="loopwright-") as root:
        try:
            store = await nc.jetstream().object_store(subjects.OBJECTS)
        except (nats.js.errors.Error, nats.errors.Error) as error:
            raise BusUnavailableError(
                "the object store does not answer; is the coordinator up?"
            ) from error
        yield Workspaces(Path(root), NatsObjects(store))


async def pack(nc: Nats, goal: Goal, base: Path) -> Goal:
    """The goal with what lies on this machine replaced by revisions in the object store."""
    assert goal.id is not None
    first, held_out = _first(goal.workspace, base), goal.verify.held_out
    if first is None and held_out is None:
        return goal
    async with workspaces_of(nc) as workspaces:
        if first is not None:
            revision = (await workspaces.create(goal.id, first)).revision
            goal = goal.model_copy(update={"workspace": Workspace(revision=revision)})
        if held_out is not None:
            assert goal.id is not None
            revision = await _packed(workspaces, goal.id, base, held_out, "verify.held_out")
            verify = goal.verify.model_copy(update={"held_out": revision})
            goal = goal.model_copy(update={"verify": verify})
    return goal


async def _packed(workspaces: Workspaces, loop: str, base: Path, folder: str, path: str) -> str:
    return (await workspaces.create(loop, _there(base / folder, "folder", path))).revision


def _first(workspace: Workspace, base: Path) -> Path | Iterator[Item] | None:
    """What the workspace begins with, where that lies on this machine."""
    if workspace.folder is not None:
        return _there(base / workspace.folder, "folder", "workspace.folder")
    if workspace.archive is not None:
        return _there(base / workspace.archive, "archive", "workspace.archive")
    if workspace.git is not None:
        return read_git(workspace.git, workspace.ref or "HEAD", base)
    return None


def _there(source: Path, kind: str, path: str) -> Path:
    if not (source.is_dir() if kind == "folder" else source.is_file()):
        raise GoalInvalidError([Fault(path=path, message=f"there is no {kind} {source}")])
    return source
