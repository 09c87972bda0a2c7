"""The JSON Schema of an answer, from the tools' own models, in OpenAI's strict dialect.

Strict means: every property required, nothing else allowed, and only keywords that constrained
decoding knows. What the schema cannot say, such as lengths, is checked when the plan is read. It is
paid for as a part of every prompt, so descriptions stand once, in the prompt.
"""

from __future__ import annotations

from loopwright.tools import TOOLS, ToolSpec
from loopwright.wire import Json

#: Keywords that are carried over; others (lengths, defaults, titles) are left out.
_KEPT = ("type", "enum")


def plan_schema(tools: tuple[str, ...]) -> Json:
    """The schema of a plan that uses tools of these groups."""
    allowed = [spec for spec in TOOLS.values() if spec.group in tools]
    actions: Json = {"anyOf": [_action(spec) for spec in allowed]} if allowed else _object({})
    return _object(
        {
            "summary": {"type": "string"},
            "actions": {"type": "array", "items": actions},
            "remember": {"type": "array", "items": {"type": "string"}},
            "claims_met": {"type": "boolean"},
            "question": {"type": "string"},
        }
    )


def response_format(schema: Json) -> Json:
    """The `response_format` that asks for it."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "plan", "strict": True, "schema": schema},
    }


def signature(spec: ToolSpec) -> str:
    """A tool and its arguments in a line, for a prompt."""
    properties = spec.schema["properties"]
    args = ", ".join(f'"{name}": {_type(schema)}' for name, schema in properties.items())
    return f"- {spec.name} {{{args}}}: {spec.description}"


def _action(spec: ToolSpec) -> Json:
    return _object(
        {
            "tool": {"type": "string", "enum": [spec.name]},
            "args": strict(spec.schema),
            "timeout": {"type": ["number", "null"]},
            "allow_failure": {"type": "boolean"},
            "expect": {"type": "string"},
        }
    )


def strict(schema: Json) -> Json:
    """A model's schema in the strict dialect; ValueError for what that cannot say."""
    if "$ref" in schema or "$defs" in schema:
        raise ValueError("a tool's arguments must be plain: nested models are not supported")
    kept = {key: schema[key] for key in _KEPT if key in schema}
    if "anyOf" in schema:
        return {**kept, "anyOf": [strict(option) for option in schema["anyOf"]]}
    if schema.get("type") == "object":
        properties = {name: strict(item) for name, item in schema.get("properties", {}).items()}
        return {**kept, **_object(properties)}
    if schema.get("type") == "array":
        return {**kept, "items": strict(schema["items"])}
    return kept


def _object(properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _type(schema: Json) -> str:
    if schema.get("type") == "array":
        return f"[{_type(schema['items'])}]"
    return str(schema.get("type", "any"))
