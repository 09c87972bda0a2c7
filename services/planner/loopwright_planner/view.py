"""What a model sees of a workspace: the list of its files, and the texts that the goal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loopwright.errors import BusUnavailableError, StepError
from loopwright.events import PlanRequested
from loopwright.goal import OpenAI
from loopwright.service.logs import Redactor
from loopwright.service.step import Request
from loopwright.workspace.errors import WorkspaceError
from loopwright.workspace.paths import matches

#: Files that are listed at most.
MAX_LISTED = 2000
#: A file larger than this is listed, not shown.
MAX_FILE_BYTES = 1_000_000
#: Files whose texts are read at most; each is a look into git.
MAX_READ = 64
#: Texts that are read for a prompt, in bytes for each token that it may have.
BYTES_PER_TOKEN = 4


class Entry(Protocol):
    """A file of a revision."""

    @property
    def path(self) -> str: ...
    @property
    def bytes(self) -> int: ...


class Base(Protocol):
    """A workspace as it was made."""

    @property
    def revision(self) -> str: ...


class Workspaces(Protocol):
    """What the planner needs of workspaces: to look, never to touch."""

    async def create(self, loop: str, files: Mapping[str, str] | None, /) -> Base:
        """The goal's own workspace; the same files give the same revision."""
        ...

    async def ls(self, loop: str, revision: str, /) -> Sequence[Entry]:
        """The files of a revision."""
        ...

    async def read(self, loop: str, revision: str, path: str, /) -> bytes | None:
        """A file's content."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """The paths and sizes of a workspace, and texts of it, most telling first."""

    listing: tuple[tuple[str, int], ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    def without(self, redactor: Redactor) -> View:
        """The view without the secrets that this process knows: no model is told them."""
        listing = ((redactor.text(path), size) for path, size in self.listing)
        files = ((redactor.text(path), redactor.text(text)) for path, text in self.files)
        return View(tuple(listing), tuple(files))


async def look(workspaces: Workspaces, request: Request[PlanRequested], spec: OpenAI) -> View:
    """Read what the goal lets the model see of the revision that is planned on."""
    try:
        revision = request.data.revision
        if revision is None:
            files = request.goal.workspace.files
            revision = (await workspaces.create(request.loop, files)).revision
        entries = await workspaces.ls(request.loop, revision)
        texts = await _texts(workspaces, request, revision, _by_interest(entries, request, spec))
    except BusUnavailableError as error:  # before anything was asked: it costs nothing
        raise StepError("network", f"the workspace cannot be read: {error}") from error
    except WorkspaceError as error:
        raise StepError("internal", f"the workspace cannot be read: {error}") from error
    listing = sorted((entry.path, entry.bytes) for entry in entries)[:MAX_LISTED]
    return View(tuple(listing), tuple(texts))


def _by_interest(
    entries: Sequence[Entry], request: Request[PlanRequested], spec: OpenAI
) -> list[tuple[str, int]]:
    """The shown files: first those that the last iteration was about, then small before large."""
    data = request.data
    touched = {change.path for change in data.outcome.changes} if data.outcome else set()
    if data.plan is not None:
        touched |= {str(action.args.get("path")) for action in data.plan.actions}
    said = "\n".join(
        f"{check.message}\n{check.excerpt}"
        for check in (data.verdict.checks if data.verdict else ())
        if check.status != "passed"
    )
    shown = [
        (entry.path not in touched, entry.path not in said, entry.bytes, entry.path)
        for entry in entries
        if matches(entry.path, spec.show) and entry.bytes <= MAX_FILE_BYTES
    ]
    return [(path, size) for *_, size, path in sorted(shown)]


async def _texts(
    workspaces: Workspaces,
    request: Request[PlanRequested],
    revision: str,
    candidates: list[tuple[str, int]],
) -> list[tuple[str, str]]:
    spec = request.goal.planner
    left = spec.max_input_tokens * BYTES_PER_TOKEN if isinstance(spec, OpenAI) else 0
    texts = []
    for path, size in candidates[:MAX_READ]:
        if left <= 0:
            break
        content = await workspaces.read(request.loop, revision, path)
        text = _text(content)
        if text is not None:
            texts.append((path, text))
            left -= size
    return texts


def _text(content: bytes | None) -> str | None:
    """The content as text; None for binary, which would only waste room."""
    if content is None or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
