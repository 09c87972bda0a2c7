"""A goal's folders on their way into the object store, and the workspaces that are there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from loopwright import subjects
from loopwright.errors import BusUnavailableError, Fault, GoalInvalidError
from loopwright.goal import Goal
from loopwright.objects import NatsObjects
from loopwright.workspace import Workspaces


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
    """The goal with its folders replaced by revisions in the object store."""
    assert goal.id is not None
    folder, held_out = goal.workspace.folder, goal.verify.held_out
    if folder is None and held_out is None:
        return goal
    async with workspaces_of(nc) as workspaces:
        if folder is not None:
            revision = await _packed(workspaces, goal.id, base, folder, "workspace.folder")
            workspace = goal.workspace.model_copy(update={"folder": None, "revision": revision})
            goal = goal.model_copy(update={"workspace": workspace})
        if held_out is not None:
            assert goal.id is not None
            revision = await _packed(workspaces, goal.id, base, held_out, "verify.held_out")
            verify = goal.verify.model_copy(update={"held_out": revision})
            goal = goal.model_copy(update={"verify": verify})
    return goal


async def _packed(workspaces: Workspaces, loop: str, base: Path, folder: str, path: str) -> str:
    source = base / folder
    if not source.is_dir():
        message = f"there is no folder {source}"
        raise GoalInvalidError([Fault(path=path, message=message)])
    return (await workspaces.create(loop, source)).revision
