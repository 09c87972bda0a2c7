"""Published messages may be added to, and not changed: what was valid stays so."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopwright.asyncapi import document
from loopwright.contract import schemas
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declarations

KEPT = sorted((Path(__file__).parents[1] / "contracts").glob("*/*.json"))


def broken(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What a reader or writer of the old schema can no longer rely on."""
    yield from _changed("", old, new)
    for name, before in old.get("$defs", {}).items():
        after = new.get("$defs", {}).get(name)
        if after is None:
            yield f"{name} is gone"
        else:
            yield from _changed(name, before, after)


def _changed(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in old.get("properties", {}):
        if name not in new.get("properties", {}):
            yield f"{where}.{name} is gone"
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{where}.{name} is required now"
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name, {})
        for value in set(map(str, before.get("enum", ()))) - set(map(str, after.get("enum", ()))):
            if "enum" in after:
                yield f"{where}.{name} may not be {value} any more"


@pytest.mark.parametrize("file", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_published_is_still_so(file: Path) -> None:
    assert list(broken(json.loads(file.read_text()), schemas()[file.name])) == []


def test_a_schema_that_takes_something_away_is_found() -> None:
    old = schemas()["goal.json"]
    gone, stricter, fewer = (copy.deepcopy(old) for _ in range(3))
    del gone["properties"]["name"]
    stricter["required"] = [*stricter["required"], "tags"]
    name, parts = next(
        (name, part["properties"])
        for name, part in old["$defs"].items()
        if any("enum" in item for item in part.get("properties", {}).values())
    )
    field = next(key for key, item in parts.items() if "enum" in item)
    fewer["$defs"][name]["properties"][field]["enum"] = parts[field]["enum"][1:]
    assert list(broken(old, gone)) == [".name is gone"]
    assert list(broken(old, stricter)) == [".tags is required now"]
    assert len(list(broken(old, fewer))) == 1
    assert list(broken(old, old)) == []


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    found = document()
    for reference in _references(found):
        node: Any = found
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_every_channel_is_one_that_a_stream_keeps() -> None:
    patterns = [
        pattern
        for item in declarations(ServiceSettings())
        for pattern in item.stream.subjects or ()
    ]
    kept = {pattern.split(".")[0] for pattern in patterns}
    for channel in document()["channels"].values():
        assert channel["address"].split(".")[0] in kept
