"""The two strictnesses of the wire: what people write, and what services write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

Json = Any

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


class Written(BaseModel):
    """Base of what people write (goals, control): an unknown field is an error at its path."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Wire(BaseModel):
    """Base of what services write (events, results): unknown fields are ignored; versions mix."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with changes, as pydantic makes it, in a fifth of the time: nothing here has
        extra or private fields, and the fold copies several times an event."""
        if deep:
            return super().model_copy(update=update, deep=True)
        copy = self.__class__.__new__(self.__class__)
        values, fields = self.__dict__, self.__pydantic_fields_set__
        if update:
            values, fields = {**values, **update}, fields.union(update)
        object.__setattr__(copy, "__dict__", values if update else dict(values))
        object.__setattr__(copy, "__pydantic_fields_set__", fields)
        object.__setattr__(copy, "__pydantic_extra__", None)
        object.__setattr__(copy, "__pydantic_private__", None)
        return copy


def added(default: Any, **more: Any) -> Any:
    """A field that a released version did not have: it is written only where it says something.

    So goals, plans and prices that say no more than they could then have the digests of then.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **more)


def parse_duration(value: object) -> object:
    """Seconds from a number, or from text such as `90s`, `10m`, `2h`, `1d`."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError(
                f"'{value}' is no duration; write a number with a unit, such as 90s, 10m or 2h"
            )
        return float(match[1]) * _UNITS[match[2]]
    return value


def _positive(value: float) -> float:
    if not 0 < value <= 366 * 86400:
        raise ValueError("a duration must be more than 0 and at most 366 days")
    return value


#: A duration in seconds; people write `90s`, `10m`, `2h` or a plain number of seconds.
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    AfterValidator(_positive),
    PlainSerializer(lambda value: value, return_type=float),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$"},
            ],
            "description": "A duration: seconds, or a number with a unit (90s, 10m, 2h, 1d).",
        }
    ),
]
