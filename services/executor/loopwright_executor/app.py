"""The executor's step: run the plan's actions in order, commit their effects as a whole or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loopwright.budget import Usage
from loopwright.errors import BusUnavailableError, ErrorInfo, StepError
from loopwright.events import ExecutionRequested
from loopwright.plan import ActionOutcome, Change, Outcome
from loopwright.results import ExecutionFinished, StepFailed
from loopwright.service.gate import holder_of
from loopwright.service.sandbox import limits_of
from loopwright.service.step import Performed, Request
from loopwright.tools import Action
from loopwright.workspace import Snapshot, WorkspaceError, Workspaces
from loopwright_executor.core import NAMED_CHANGES, TEXT_CHARS, bounded, skipped, stops
from loopwright_executor.joining import Joining
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class ExecuteStep:
    """Runs plans in workspaces."""

    workspaces: Workspaces
    tools: Toolbox

    async def perform(self, request: Request[ExecutionRequested]) -> Performed:
        """Run the granted plan and report its outcome and the new revision."""
        started = _Count()
        try:
            outcome = await self._execute(request, started)
        except StepError as error:
            failed = StepFailed(error=error.info)
        except BusUnavailableError as error:
            failed = StepFailed(error=ErrorInfo(kind="network", message=str(error)))
        except WorkspaceError as error:
            failed = StepFailed(error=ErrorInfo(kind="internal", message=str(error)))
        else:
            return Performed(ExecutionFinished(outcome=outcome), Usage(actions=started.actions))
        return Performed(failed, Usage(actions=started.actions))

    async def _execute(self, request: Request[ExecutionRequested], started: _Count) -> Outcome:
        base = await self._base(request)
        async with self.workspaces.checkout(request.loop, base) as tree:
            if request.data.joined:
                joining = Joining(self.workspaces)
                outcomes = await joining.run(request.goal, tree, request.data.joined)
                succeeded, rest = all(item.status != "failed" for item in outcomes), []
            else:
                ran = await self._run_all(request, tree, started)
                actions = request.data.plan.actions
                outcomes = await self.tools.without_secrets(request.goal, tree, ran)
                succeeded = outcomes == ran and not any(map(stops, actions, outcomes))
                rest = skipped(actions[len(outcomes) :])
            snapshot = await self._commit(request, tree, base) if succeeded else None
            digest = snapshot and await self.workspaces.contents(request.loop, snapshot.revision)
        changed = snapshot.changed if snapshot else ()
        return Outcome(
            revision=snapshot.revision if snapshot else base,
            tree=digest,
            succeeded=succeeded,
            actions=bounded([*outcomes, *rest]),
            changes=tuple(
                Change(path=item.path, kind=item.kind, bytes=item.bytes)
                for item in changed[:NAMED_CHANGES]
            ),
            changed_paths=len(changed),
            isolation=self.tools.commands.sandbox.level,
        )

    async def _base(self, request: Request[ExecutionRequested]) -> str:
        """The granted revision, or the goal's own workspace before anything was committed."""
        if request.data.revision is not None:
            return request.data.revision
        return (await self.workspaces.create(request.loop, request.goal.workspace.files)).revision

    async def _commit(
        self, request: Request[ExecutionRequested], tree: Path, base: str
    ) -> Snapshot:
        grant = request.grant
        title = f"iteration {grant.iteration}: {request.data.plan.summary}".splitlines()[0][:200]
        # The grant's date, not the clock's: the same work is the same revision on every host.
        return await self.workspaces.commit(
            request.loop, tree, parent=base, message=title, at=grant.deadline
        )

    async def _run_all(
        self, request: Request[ExecutionRequested], tree: Path, started: _Count
    ) -> list[ActionOutcome]:
        """The outcomes of the actions, up to the first failure that counts."""
        outcomes: list[ActionOutcome] = []
        for index, action in enumerate(request.data.plan.actions):
            if request.stop.is_set():
                raise StepError("timeout", "the step was stopped before all actions had run")
            started.actions += 1
            call = self._call(request, tree, index, action)
            try:
                outcome = await self.tools.run(call, request.grant.tools)
            except StepError as error:
                started.actions -= error.info.dependency is not None  # refused before it ran
                raise
            outcomes.append(outcome)
            if stops(action, outcome):
                break
        return outcomes

    def _call(
        self, request: Request[ExecutionRequested], tree: Path, index: int, action: Action
    ) -> Call:
        goal, grant = request.goal, request.grant
        timeout_s = action.timeout or goal.limits.action_time
        return Call(
            loop=request.loop,
            iteration=grant.iteration,
            index=index,
            attempt=grant.attempt,
            action=action,
            goal=goal,
            tree=tree,
            limits=limits_of(goal.limits, timeout_s, excerpt_bytes=TEXT_CHARS),
            stop=request.stop,
            holder=holder_of(request),
        )


@dataclass(slots=True)
class _Count:
    """Actions that were started: what a failed step is charged for."""

    actions: int = 0
