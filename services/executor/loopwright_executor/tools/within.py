"""Waiting for something in the executor itself, no longer than the action may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from loopwright.errors import StepError
from loopwright_executor.tools.call import Call

T = TypeVar("T")


async def within(call: Call, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; TimeoutError past the action's time, StepError when it is stopped."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(call.stop.wait())
    try:
        done, _ = await asyncio.wait(
            (task, stopped), timeout=call.limits.wall_s, return_when=asyncio.FIRST_COMPLETED
        )
        if task in done:
            return task.result()
        if stopped in done:
            tool = call.action.tool
            raise StepError("timeout", f"{tool} was stopped: the loop ended or its time was over")
        raise TimeoutError(f"not done within {call.limits.wall_s:g} s")
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
