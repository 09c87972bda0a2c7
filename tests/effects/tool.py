"""The tool whose effect must not happen twice: it adds its key to a ledger."""

from __future__ import annotations

import asyncio
import os

from loopwright.tools import ToolCall, ToolSpec, tool
from loopwright.wire import Written

#: Names the ledger's file to the workers.
LEDGER = "LOOPWRIGHT_TEST_LEDGER"


class ChargeArgs(Written):
    """Charge somebody."""


@tool("effects.charge", ChargeArgs, effect="external_once")
async def charge(_: ChargeArgs, call: ToolCall) -> str:
    """One line, written at once or not at all; then a moment in which to be killed."""
    ledger = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, f"{call.idempotency_key}\n".encode())
    finally:
        os.close(ledger)
    await asyncio.sleep(0.001)
    return "charged"


SPEC = ToolSpec(charge.name, charge.args, charge.effect)
