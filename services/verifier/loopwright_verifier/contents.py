"""Checks of a file's content, as they run in the sandboxed inspector. One idea a function.

Files are hostile: this runs where a pattern that never ends, a huge number or a bomb hurts nobody.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry

from loopwright.checks import FileCheck, JsonSchemaCheck, RegexCheck, TableCheck
from loopwright.plan import CheckResult
from loopwright_verifier.core import result
from loopwright_verifier.table import check_table

#: A file that is read as text or JSON may have at most this many bytes.
MAX_TEXT_BYTES = 64 * 1024 * 1024
#: Faults of a JSON file that are shown.
SHOWN_FAULTS = 5


class UnreadableFileError(Exception):
    """The file cannot be judged: the check has failed, and the message says why."""


def inspect(
    check: FileCheck | RegexCheck | JsonSchemaCheck | TableCheck, tree: Path, held_out: Path | None
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
    except UnreadableFileError as error:
        return result(check.name, "failed", str(error))
    except Exception as error:
        return result(check.name, "error", f"{type(error).__name__}: {error}")


def locate(tree: Path, path: str) -> Path | None:
    """The regular file at a path of the tree; None if there is none. No link is followed."""
    here = tree
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise UnreadableFileError(f"'{path}' is not a path inside of the workspace")
        here /= part
        if here.is_symlink():
            raise UnreadableFileError(f"{path} is or passes a link; a check reads files only")
    return here if here.is_file() else None


def _text(tree: Path, path: str) -> str:
    found = locate(tree, path)
    if found is None:
        raise UnreadableFileError(f"there is no file {path}")
    if found.stat().st_size > MAX_TEXT_BYTES:
        raise UnreadableFileError(f"{path} has more than {MAX_TEXT_BYTES} bytes")
    try:
        return found.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path} is no UTF-8 text") from error


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
    digest = _digest(found)
    if check.sha256 is not None and digest != check.sha256:
        wrong.append(f"its SHA-256 is {digest}, {check.sha256} is wanted")
    message = "; ".join([f"{check.path} has {size} bytes", *wrong])
    judged = result(check.name, "failed" if wrong else "passed", message)
    return judged.model_copy(update={"digest": f"sha256:{digest}"})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _regex(check: RegexCheck, tree: Path) -> CheckResult:
    text = _text(tree, check.path)
    try:
        count = sum(1 for _ in re.finditer(check.pattern, text, re.MULTILINE))
    except re.error as error:
        message = f"the pattern {check.pattern!r} is none of Python's `re`: {error}; mend the goal"
        return result(check.name, "error", message)
    most = check.max_count
    good = count >= check.min_count and (most is None or count <= most)
    wanted = f"at least {check.min_count}" if most is None else f"{check.min_count} to {most}"
    message = f"{check.pattern!r} matches {count} times in {check.path}, {wanted} are wanted"
    return result(check.name, "passed" if good else "failed", message, judged=text.encode())


def _json_schema(check: JsonSchemaCheck, tree: Path) -> CheckResult:
    text = _text(tree, check.path)
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
