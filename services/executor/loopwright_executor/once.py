"""Actions that must not be done twice: journalled first, never run on an unknown outcome.

What is told of an action that an earlier attempt began:
  done      its outcome, again; nothing runs
  begun     nobody knows: `outcome_unknown`, to the planner or, if the goal says so, to a person
  asked     a person was asked and let the loop go on: `outcome_unknown`, to the planner
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from loopwright.errors import BusUnavailableError, ConflictError, StepError
from loopwright.plan import ActionOutcome
from loopwright_executor.journal import Entry, Journal
from loopwright_executor.tools.call import Call

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Once:
    """Guards every `external_once` action."""

    journal: Journal

    async def run(self, call: Call, act: Callable[[], Awaitable[ActionOutcome]]) -> ActionOutcome:
        """Do the action if its effect allows it; StepError where a person is to be asked."""
        if call.effect != "external_once":
            return await act()
        ours, entry = await self.journal.begin(call)
        if not ours:
            return await self._known(call, entry)
        outcome = await act()
        if outcome.failure == "outcome_unknown" and _asks(call):
            await self.journal.write(call, entry, "asked", outcome)
            raise StepError("outcome_unknown", _question(call))
        try:
            await self.journal.write(call, entry, "done", outcome)
        except (ConflictError, BusUnavailableError) as error:
            # It is done and told; a later attempt reads "begun" and will not do it again.
            log.warning("the journal does not hold the outcome", error=str(error))
        return outcome

    async def _known(self, call: Call, entry: Entry) -> ActionOutcome:
        if entry.state == "done" and entry.outcome is not None:
            return entry.outcome
        unknown = _unknown(call)
        if entry.state == "begun" and _asks(call):
            await self.journal.write(call, entry, "asked", unknown)
            raise StepError("outcome_unknown", _question(call))
        return unknown


def _asks(call: Call) -> bool:
    return call.goal.unknown_outcome == "hold"


def _unknown(call: Call) -> ActionOutcome:
    return ActionOutcome(
        tool=call.action.tool,
        status="failed",
        failure="outcome_unknown",
        effect=call.effect,
        stderr=(
            "the worker was lost while this ran: it may have happened or not, and it is not done "
            "again. Find out before you plan it anew."
        ),
    )


def _question(call: Call) -> str:
    return (
        f"nobody knows whether action {call.index + 1} ({call.action.tool}, idempotency key "
        f"{call.idempotency_key}) happened; find out, tell the planner with `loopwright nudge "
        f"{call.loop} …`, then go on with `loopwright retry {call.loop}`"
    )
