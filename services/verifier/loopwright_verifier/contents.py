"""Checks of a file's content, as they run in the sandboxed inspector. One idea a function.

Files are hostile: this runs where a pattern that never ends, a huge number or a bomb hurts nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry

from loopwright.checks import (
    FileCheck,
    JsonSchemaCheck,
    MetricCheck,
    RegexCheck,
    SecretsCheck,
    SqlCheck,
    TableCheck,
)
from loopwright.plan import CheckResult, Place
from loopwright.workspace.paths import matches
from loopwright_verifier import measures, secrets
from loopwright_verifier.core import result
from loopwright_verifier.files import UnreadableFileError, digest_of, locate, text_of
from loopwright_verifier.sql import check_sql
from loopwright_verifier.table import check_table

ContentCheck = (
    FileCheck | RegexCheck | JsonSchemaCheck | TableCheck | SqlCheck | MetricCheck | SecretsCheck
)
#: Faults of a JSON file that are shown.
SHOWN_FAULTS = 5


def inspect(
    check: ContentCheck, tree: Path, held_out: Path | None, changed: Sequence[str] = ()
) -> CheckResult:
    """Judge one check; whatever goes wrong is a failed check with a reason."""
    try:
        match check:
            case FileCheck():
                return _file(check, tree)
            case RegexCheck():
                return _regex(check, tree)
            case JsonSchemaCheck():
                return _json_schema(check, tree)
            case TableCheck():
                return check_table(check, tree, held_out)
            case SqlCheck():
                return check_sql(check, tree, held_out)
            case MetricCheck():
                return _metric(check, tree)
            case SecretsCheck():
                return _secrets(check, tree, changed)
    except UnreadableFileError as error:
        return result(check.name, "failed", str(error))
    except Exception as error:
        return result(check.name, "error", f"{type(error).__name__}: {error}")


def _file(check: FileCheck, tree: Path) -> CheckResult:
    found = locate(tree, check.path)
    if found is None or not check.exists:
        good = (found is None) == (not check.exists)
        state = "is not there" if found is None else "is there"
        return result(check.name, "passed" if good else "failed", f"{check.path} {state}")
    size = found.stat().st_size
    wrong = []
    if check.min_bytes is not None and size < check.min_bytes:
        wrong.append(f"at least {check.min_bytes} are wanted")
    if check.max_bytes is not None and size > check.max_bytes:
        wrong.append(f"at most {check.max_bytes} are allowed")
    digest = digest_of(found)
    if check.sha256 is not None and digest != check.sha256:
        wrong.append(f"its SHA-256 is {digest}, {check.sha256} is wanted")
    message = "; ".join([f"{check.path} has {size} bytes", *wrong])
    judged = result(check.name, "failed" if wrong else "passed", message)
    return judged.model_copy(update={"digest": f"sha256:{digest}"})


def _regex(check: RegexCheck, tree: Path) -> CheckResult:
    text = text_of(tree, check.path)
    try:
        count = sum(1 for _ in re.finditer(check.pattern, text, re.MULTILINE))
    except re.error as error:
        message = f"the pattern {check.pattern!r} is none of Python's `re`: {error}; mend the goal"
        return result(check.name, "error", message)
    most = check.max_count
    good = count >= check.min_count and (most is None or count <= most)
    wanted = f"at least {check.min_count}" if most is None else f"{check.min_count} to {most}"
    message = f"{check.pattern!r} is found {count} × in {check.path}, {wanted} wanted"
    return result(check.name, "passed" if good else "failed", message, judged=text.encode())


def _json_schema(check: JsonSchemaCheck, tree: Path) -> CheckResult:
    text = text_of(tree, check.path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return result(check.name, "failed", f"{check.path} is no JSON: {error}")
    try:
        Draft202012Validator.check_schema(check.json_schema)
    except SchemaError as error:
        message = f"the schema is none of draft 2020-12: {error.message}; mend the goal"
        return result(check.name, "error", message)
    # An empty registry: a `$ref` to anywhere else is an error, never a download.
    validator = Draft202012Validator(check.json_schema, registry=Registry())
    faults = []
    for fault in validator.iter_errors(value):
        where = "/".join(map(str, fault.absolute_path)) or "the document"
        faults.append(f"{where}: {fault.message[:300]}")
        if len(faults) > SHOWN_FAULTS:
            break
    message = "; ".join(faults[:SHOWN_FAULTS]) if faults else f"{check.path} is valid"
    return result(check.name, "failed" if faults else "passed", message, judged=text.encode())


def _metric(check: MetricCheck, tree: Path) -> CheckResult:
    text = text_of(tree, check.path)
    try:
        if check.json_path is not None:
            value = measures.in_json(text, check.json_path)
        else:
            value = measures.in_text(text, check.pattern or "")
    except measures.NoNumberError as error:
        return result(check.name, "failed", f"{check.path}: {error}", judged=text.encode())
    wrong = measures.shortfall(value, check.min, check.max)
    message = f"it is {value:g}, {wrong}" if wrong else f"it is {value:g}"
    judged = result(check.name, "failed" if wrong else "passed", message, judged=text.encode())
    return judged.model_copy(update={"value": value})


def _secrets(check: SecretsCheck, tree: Path, changed: Sequence[str]) -> CheckResult:
    """Judge the changed files; what is no text holds no line that could be named, and passes."""
    found: list[tuple[str, int, str]] = []
    looked = [path for path in changed if not matches(path, check.allow)]
    for path in looked:
        try:
            text = text_of(tree, path)
        except UnreadableFileError:
            continue
        found += secrets.findings(path, text, check.patterns)
    if not found:
        return result(check.name, "passed", f"{len(looked)} changed files hold no secret")
    lines = [f"{path}:{line}: looks like a {kind}" for path, line, kind in found]
    judged = result(check.name, "failed", "; ".join(lines[: secrets.SHOWN]), text="\n".join(lines))
    places = [Place(path=path, line=line, message=kind) for path, line, kind in found]
    return judged.model_copy(update={"places": tuple(places[: secrets.SHOWN])})
