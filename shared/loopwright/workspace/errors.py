"""What can go wrong with a workspace.

LoopwrightError
└── WorkspaceError
    ├── GitMissingError           git is absent or too old; install it
    ├── GitFailedError            git refused or took too long; may be tried again
    ├── WorkspaceBusyError        another process holds the loop's workspace; try again
    ├── WorkspacePathError        a path that a workspace does not keep; named in the message
    ├── WorkspaceTooLargeError    more than the limits allow
    ├── RevisionMissingError      no such revision in the object store
    └── WorkspaceDamagedError     a bundle or a cache that is not what its name says
"""

from __future__ import annotations

from loopwright.errors import LoopwrightError


class WorkspaceError(LoopwrightError):
    """Anything about a workspace that cannot be done."""


class GitMissingError(WorkspaceError):
    """Git is not installed here, or is too old."""


class GitFailedError(WorkspaceError):
    """A git command that failed or ran out of time."""


class WorkspaceBusyError(WorkspaceError):
    """The loop's workspace is held by another process for too long."""


class WorkspacePathError(WorkspaceError):
    """A path that a workspace does not keep or that leads out of it."""


class WorkspaceTooLargeError(WorkspaceError):
    """A tree beyond the limits."""


class RevisionMissingError(WorkspaceError):
    """A revision that is neither here nor in the object store."""


class WorkspaceDamagedError(WorkspaceError):
    """A bundle or a cache that is not what its name says."""
