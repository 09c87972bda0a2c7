"""The published messages as an AsyncAPI 3 document: which subject carries what, from the models."""

from __future__ import annotations

from importlib import metadata

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema

from loopwright import subjects
from loopwright.chain import LoopEvent, ResultEvent
from loopwright.control import CONTROL
from loopwright.goal import Goal
from loopwright.wire import Json

_SCHEMAS = "#/components/schemas/{model}"

#: Message → (model's core schema, what it is).
_MESSAGES: dict[str, tuple[CoreSchema, str]] = {
    "Goal": (Goal.__pydantic_core_schema__, "A goal, as people submit it"),
    "Control": (CONTROL.core_schema, "What a person says to a loop"),
    "LoopEvent": (LoopEvent.__pydantic_core_schema__, "An event of a loop's log"),
    "ResultEvent": (ResultEvent.__pydantic_core_schema__, "A worker's result"),
}

#: Channel → (address, message, who of the application sends or receives, what it is for).
_CHANNELS: dict[str, tuple[str, str, str, str]] = {
    "goals": (
        subjects.goal_submitted("{tenant}"),
        "Goal",
        "receive",
        "Submit a goal for a tenant. The header Loopwright-Reply-To names where the answer goes.",
    ),
    "control": (
        subjects.control("{loop}"),
        "Control",
        "receive",
        "Pause, resume, cancel, amend, approve. The answer goes where Loopwright-Reply-To says.",
    ),
    "events": (
        subjects.loop_event("{loop}", "{kind}"),
        "LoopEvent",
        "send",
        "The loop's log, hash-chained; only the coordinator writes it.",
    ),
    "plannerResults": (
        subjects.result("planner", "{loop}"),
        "ResultEvent",
        "receive",
        "What planners report.",
    ),
    "executorResults": (
        subjects.result("executor", "{loop}"),
        "ResultEvent",
        "receive",
        "What executors report.",
    ),
    "verifierResults": (
        subjects.result("verifier", "{loop}"),
        "ResultEvent",
        "receive",
        "What verifiers report.",
    ),
}

_PARAMETERS: dict[str, str] = {
    "tenant": "Whose goal it is; credentials allow a tenant's own only",
    "loop": "Id of the loop",
    "kind": "Kind of the event, as `loop_admitted`",
}


def document() -> dict[str, Json]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Loopwright",
            "version": metadata.version("loopwright"),
            "description": "Messages on NATS JetStream. Bodies are JSON; ids make them idempotent.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"bus": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {name: _channel(*found) for name, found in _CHANNELS.items()},
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": _operation(name, action, message)
            for name, (_, message, action, _) in _CHANNELS.items()
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(address: str, message: str, _: str, about: str) -> Json:
    named = [name for name in _PARAMETERS if f"{{{name}}}" in address]
    return {
        "address": address,
        "description": about,
        "parameters": {name: {"description": _PARAMETERS[name]} for name in named},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(channel: str, action: str, message: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages() -> Json:
    return {
        name: {"name": name, "title": title, "payload": {"$ref": _SCHEMAS.format(model=name)}}
        for name, (_, title) in _MESSAGES.items()
    }


def _schemas() -> dict[str, Json]:
    """Every model once; the four messages under their own names."""
    generator = GenerateJsonSchema(by_alias=True, ref_template=_SCHEMAS)
    inputs: list[tuple[str, JsonSchemaMode, CoreSchema]] = [
        (name, "validation", schema) for name, (schema, _) in _MESSAGES.items()
    ]
    found, definitions = generator.generate_definitions(inputs)
    named = {name: found[name, "validation"] for name in _MESSAGES}
    merged = dict(definitions) | {
        name: schema
        for name, schema in named.items()
        if schema.get("$ref") != _SCHEMAS.format(model=name)
    }
    return {name: _as_draft_7(merged[name]) for name in sorted(merged)}


def _as_draft_7(schema: Json) -> Json:
    """AsyncAPI's own dialect: a discriminator is the property's name, tuples are `items`."""
    if isinstance(schema, list):
        return [_as_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _as_draft_7(value) for key, value in schema.items()}
    if isinstance(found.get("discriminator"), dict):
        found["discriminator"] = found["discriminator"]["propertyName"]
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    return found
