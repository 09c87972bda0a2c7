"""The checks that a goal may name: what must be true of a revision for the goal to be met."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from loopwright.checks.asking import ApprovalCheck, JudgeCheck
from loopwright.checks.contents import (
    FileCheck,
    JsonSchemaCheck,
    MetricCheck,
    RegexCheck,
    Rows,
    SecretsCheck,
    SqlCheck,
    TableCheck,
    TableEquals,
)
from loopwright.checks.invariants import ConsistencyCheck, SizeCheck, UnchangedCheck
from loopwright.checks.named import CheckName, ColumnType, NamedCheck, RelativePath
from loopwright.checks.running import CommandCheck, HttpCheck, MeasureCheck, TestReportCheck
from loopwright.wire import Written

__all__ = [
    "CHECK_KINDS",
    "ApprovalCheck",
    "Check",
    "CheckName",
    "ColumnType",
    "CommandCheck",
    "ConsistencyCheck",
    "FileCheck",
    "HttpCheck",
    "JsonSchemaCheck",
    "JudgeCheck",
    "MeasureCheck",
    "MetricCheck",
    "NamedCheck",
    "RegexCheck",
    "RelativePath",
    "Rows",
    "SecretsCheck",
    "SizeCheck",
    "SqlCheck",
    "TableCheck",
    "TableEquals",
    "TestReportCheck",
    "UnchangedCheck",
    "Verify",
]

AnyCheck = (
    TestReportCheck
    | CommandCheck
    | MeasureCheck
    | FileCheck
    | RegexCheck
    | JsonSchemaCheck
    | TableCheck
    | SqlCheck
    | MetricCheck
    | SecretsCheck
    | UnchangedCheck
    | SizeCheck
    | ConsistencyCheck
    | HttpCheck
    | JudgeCheck
    | ApprovalCheck
)
Check = Annotated[AnyCheck, Field(discriminator="kind")]

#: The values of `kind`.
CHECK_KINDS: frozenset[str] = frozenset(
    get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(AnyCheck)
)


class Verify(Written):
    """How it is known that the goal is met."""

    checks: tuple[Check, ...] = Field(min_length=1, max_length=200)
    protected: tuple[str, ...] = ()
    """Patterns of paths that are put back as they were before any check runs."""
    held_out: str | None = None
    """A folder that only the verifier sees (reference data, hidden tests).

    In a goal file a path beside it; on the wire the revision that the SDK packed it as.
    Commands find it at `$LOOPWRIGHT_HELD_OUT`.
    """
