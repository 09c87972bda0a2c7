"""Control messages: read, decided, answered."""

from __future__ import annotations

from dataclasses import dataclass

from nats.aio.msg import Msg
from pydantic import ValidationError

from loopwright.control import CONTROL, Amend, Control
from loopwright.errors import UnreadableError
from loopwright.ids import is_loop_id
from loopwright.service.bus import Bus
from loopwright.service.intake import RetryLaterError
from loopwright_coordinator.admission import Settle
from loopwright_coordinator.answers import answer
from loopwright_coordinator.inputs import Append, ControlArrived, Ignore
from loopwright_coordinator.quotas import Quotas

#: A loop's control may arrive before its goal is admitted: so often it is tried again.
UNKNOWN_TRIES = 4
UNKNOWN_DELAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Controls:
    """Handles what people say to a running loop."""

    bus: Bus
    quotas: Quotas | None = None

    async def handle(self, message: Msg, settle: Settle) -> None:
        """Do one control message and answer it."""
        loop_id = message.subject.rsplit(".", 1)[-1]
        control = await self._read(message, loop_id)
        over = await self._over_quota(loop_id, control)
        if over is not None:
            await answer(self.bus, message, {"accepted": False, "reason": over})
            return
        settled = await settle(loop_id, ControlArrived(control))
        if settled is None:
            if (message.metadata.num_delivered or 1) < UNKNOWN_TRIES:
                raise RetryLaterError(f"loop {loop_id}: there is no such loop yet", UNKNOWN_DELAY_S)
            refused = {"accepted": False, "reason": f"there is no loop {loop_id}"}
            await answer(self.bus, message, refused)
            return
        loop, decision = settled
        state = loop.ended or loop.state
        if isinstance(decision, Ignore) and not decision.done:
            refused = {"accepted": False, "reason": decision.why, "state": state}
            await answer(self.bus, message, refused)
            return
        held = loop.held.detail if loop.held else ""
        said = loop.detail or held or f"done; the loop is {state.replace('_', ' ')}"
        done = {"accepted": True, "reason": said, "state": state}
        await answer(self.bus, message, {**done, "duplicate": not isinstance(decision, Append)})

    async def _over_quota(self, loop_id: str, control: Control) -> str | None:
        """Why the loop's tenant does not cover an amendment; what it does cover is leased."""
        if self.quotas is None or not isinstance(control, Amend):
            return None
        loop = await self.quotas.log.load_tip(loop_id)
        return None if loop is None or loop.ended else await self.quotas.extend(loop, control)

    async def _read(self, message: Msg, loop_id: str) -> Control:
        why = f"'{loop_id}' is no loop id"
        if is_loop_id(loop_id):
            try:
                return CONTROL.validate_json(message.data)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                why = ": ".join(("no control message", *map(str, first["loc"]), first["msg"]))
        await answer(self.bus, message, {"accepted": False, "reason": why})
        raise UnreadableError(why)
