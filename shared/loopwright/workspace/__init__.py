"""A loop's files as git revisions that travel as bundles; the SDK packs and unpacks with it too."""

from loopwright.workspace.errors import WorkspaceError
from loopwright.workspace.repository import Entry, PathChange, Snapshot
from loopwright.workspace.workspaces import Workspaces

__all__ = ["Entry", "PathChange", "Snapshot", "WorkspaceError", "Workspaces"]
