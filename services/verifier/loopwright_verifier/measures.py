"""Numbers in texts and JSON documents, and whether they are high or low enough. Pure."""

from __future__ import annotations

import json
import math
import re

from loopwright.wire import Json

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")


class NoNumberError(Exception):
    """There is not one number; the message says why."""


def in_text(text: str, pattern: str) -> float:
    """The number that the pattern's one group finds; all that it finds must be equal."""
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise NoNumberError(f"the pattern {pattern!r} is wrong: {error}; mend the goal") from error
    if compiled.groups != 1:
        raise NoNumberError(f"the pattern {pattern!r} must have one group; mend the goal")
    found = {_number(match[1]) for match in compiled.finditer(text)}
    if not found:
        raise NoNumberError(f"{pattern!r} finds no number")
    if len(found) > 1:
        shown = ", ".join(f"{value:g}" for value in sorted(found)[:4])
        raise NoNumberError(f"{pattern!r} finds {len(found)} different numbers: {shown} …")
    return found.pop()


def in_json(text: str, path: str) -> float:
    """The number at a place of a JSON document, as `results[0].accuracy`."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoNumberError(f"it is no JSON: {error}") from error
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise NoNumberError(f"'{path}' is no place in a JSON document; mend the goal")
        try:
            value = value[step[1]] if step[1] is not None else value[int(step[2])]
        except (KeyError, IndexError, TypeError):
            raise NoNumberError(f"there is no {path[: step.end()]}") from None
        position = step.end()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NoNumberError(f"{path} is no number")
    return _number(str(value))


def _number(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise NoNumberError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise NoNumberError(f"{text} is no finite number")
    return value


def shortfall(value: float, least: float | None, most: float | None) -> str:
    """Why a number is not enough; empty if it is."""
    if least is not None and value < least:
        return f"at least {least:g} is wanted"
    if most is not None and value > most:
        return f"at most {most:g} is wanted"
    return ""
