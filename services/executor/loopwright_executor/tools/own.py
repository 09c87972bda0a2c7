"""Tools of the user's own packages: called in the executor, with the sandbox at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopwright.errors import ErrorKind, StepError
from loopwright.plan import ActionOutcome
from loopwright.tools import CommandResult, OwnTool
from loopwright_executor.core import excerpt
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.commands import Commands
from loopwright_executor.tools.within import within


@dataclass(frozen=True, slots=True)
class _Given:
    """A ToolCall."""

    call: Call
    commands: Commands

    @property
    def workspace(self) -> Path:
        return self.call.tree

    @property
    def timeout_s(self) -> float:
        return self.call.limits.wall_s

    @property
    def idempotency_key(self) -> str:
        return self.call.idempotency_key

    async def run(self, *argv: str, stdin: bytes = b"") -> CommandResult:
        done = await self.commands.run(self.call, argv, stdin)
        return CommandResult(done.exit_code, done.stdout.text(), done.stderr.text())


@dataclass(frozen=True, slots=True)
class Own:
    """Runs them by name."""

    commands: Commands
    tools: Mapping[str, OwnTool[Any]]

    async def run(self, call: Call) -> ActionOutcome:
        """Call the function; what it raises that is no StepError is the tool's failure."""
        own = self.tools[call.action.tool]
        given = _Given(call, self.commands)
        try:
            text = await within(call, _called(own, call, given))
        except StepError:
            raise
        except Exception as error:
            kind: ErrorKind = "timeout" if isinstance(error, TimeoutError) else "tool_failed"
            if own.effect == "external_once":
                kind = "outcome_unknown"
            raise StepError(kind, f"{type(error).__name__}: {error}") from error
        shown = excerpt(self.commands.redactor.text(str(text)))
        return ActionOutcome(tool=own.name, status="succeeded", stdout=shown)


async def _called(own: OwnTool[Any], call: Call, given: _Given) -> str:
    return await own.run(call.args(own.args), given)
