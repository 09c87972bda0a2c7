"""What no single field of the checks can say: what does not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from loopwright.checks import (
    ApprovalCheck,
    Check,
    JudgeCheck,
    MeasureCheck,
    MetricCheck,
    SizeCheck,
    SqlCheck,
    TableCheck,
    TestReportCheck,
    Verify,
)
from loopwright.errors import Fault

_NEEDS = "needs `verify.held_out`, the folder that holds it"


def verify_faults(verify: Verify) -> Iterator[Fault]:
    """Every fault, at its path."""
    if not any(check.required and check.kind != "approval" for check in verify.checks):
        message = "no check is required, so nothing would have to be true; require at least one"
        yield Fault(path="verify.checks", message=message)
    for index, check in enumerate(verify.checks):
        where = f"verify.checks[{index}]"
        for field, message in _faults(check, held_out=verify.held_out is not None):
            yield Fault(path=f"{where}.{field}".rstrip("."), message=message)


def _faults(check: Check, *, held_out: bool) -> Iterator[tuple[str, str]]:
    match check:
        case TableCheck() if check.equals and not held_out:
            yield (
                "equals.reference",
                "a reference needs `verify.held_out`, the folder that holds it",
            )
        case TestReportCheck() if not check.run and not check.paths:
            yield "", "give `paths` for pytest, or `run`, a command that writes a JUnit report"
        case SqlCheck():
            yield from _sql(check, held_out=held_out)
        case MetricCheck() if (check.json_path is None) == (check.pattern is None):
            yield "", "give `json_path` for a JSON file, or `pattern` for a text"
        case MetricCheck() | MeasureCheck() if check.min is None and check.max is None:
            yield "", "give `min`, `max` or both"
        case SizeCheck() if not any(
            limit is not None
            for limit in (check.max_files, check.max_bytes, check.max_file_bytes, check.max_changed)
        ):
            yield "", "give `max_files`, `max_bytes`, `max_file_bytes` or `max_changed`"
        case JudgeCheck() if check.needed > check.votes:
            yield "quorum", f"{check.needed} of {check.votes} votes can never be reached"
        case ApprovalCheck() if not check.required:
            yield "required", "an approval that is not required would never be asked for"
        case _:
            pass


def _sql(check: SqlCheck, *, held_out: bool) -> Iterator[tuple[str, str]]:
    if check.references and not held_out:
        yield "references", f"each {_NEEDS}"
    if check.rows is not None and check.value is not None:
        yield "value", "give `rows` or `value`, not both"
    for name in sorted(check.references.keys() & check.tables.keys()):
        yield f"references.{name}", f"'{name}' is the name of a table too"
