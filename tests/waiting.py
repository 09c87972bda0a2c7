"""Waiting on a condition, with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T]], seconds: float = 60.0) -> T:
    """What the condition gives as soon as that is true; AssertionError after `seconds`."""
    deadline = monotonic() + seconds
    while not (value := await condition()):
        assert monotonic() < deadline, f"not within {seconds} s; the last was {value!r}"
        await asyncio.sleep(0.02)
    return value
