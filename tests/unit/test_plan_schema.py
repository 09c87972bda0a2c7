"""The schema of an answer in the strict dialect, and the purse that no call goes beyond."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.budget import Amount, Price
from loopwright.service.llm.spend import MIN_OUTPUT_TOKENS, Purse, Tokens, Worst, one_per_byte
from loopwright.tools import TOOL_GROUPS, TOOLS
from loopwright_planner.schema import plan_schema, response_format, strict
from planning import PRICE

STRICT = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum"}


def walk(schema: Any) -> list[dict[str, Any]]:
    """Every schema within a schema."""
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    below += [schema["items"]] if "items" in schema else []
    return [schema, *(found for item in below for found in walk(item))]


def test_the_schema_of_every_tool_keeps_to_the_strict_dialect() -> None:
    for schema in walk(plan_schema(TOOL_GROUPS)):
        assert set(schema) <= STRICT
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])


def test_the_schema_has_one_form_for_each_allowed_tool() -> None:
    def tools(groups: tuple[str, ...]) -> list[str]:
        forms = plan_schema(groups)["properties"]["actions"]["items"]["anyOf"]
        return [form["properties"]["tool"]["enum"][0] for form in forms]

    assert tools(TOOL_GROUPS) == list(TOOLS)
    assert tools(("shell",)) == ["shell"]
    assert response_format(plan_schema(("shell",)))["json_schema"]["strict"] is True


def test_a_choice_between_types_stays_one_in_the_strict_dialect() -> None:
    choice = {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}], "default": None}
    assert strict(choice) == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_arguments_that_the_strict_dialect_cannot_say_are_an_error() -> None:
    with pytest.raises(ValueError, match="nested"):
        strict({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}})


prices = st.none() | st.builds(
    lambda i, o: Price.model_validate({"input_usd_per_million": i, "output_usd_per_million": o}),
    st.decimals(0, 100, places=6),
    st.decimals(0, 100, places=6),
)


@given(st.integers(0, 100_000), st.integers(0, 100_000), prices, st.integers(1, 5000))
def test_a_call_that_the_purse_allows_never_costs_more_than_is_left(
    tokens: int, cost: int, price: Price | None, wanted: int
) -> None:
    purse = Purse(Amount(tokens=tokens, cost_microusd=cost), price)
    prompt = purse.input_room(wanted)
    if prompt < 1:
        return
    output = purse.output_room(prompt, wanted)
    assert output >= min(wanted, MIN_OUTPUT_TOKENS)
    purse.charge(None, Worst(prompt, output))
    assert purse.used.tokens <= tokens
    assert price is None or purse.used.cost_microusd <= cost


def test_a_free_answer_is_bounded_by_tokens_alone() -> None:
    price = Price.model_validate({"input_usd_per_million": "1", "output_usd_per_million": "0"})
    purse = Purse(Amount(tokens=5000, cost_microusd=1000), price)
    assert purse.input_room(2000) == 1000
    assert purse.output_room(1000, 2000) == 2000


def test_usage_is_charged_as_reported_and_the_worst_case_where_it_is_not() -> None:
    purse = Purse(Amount(tokens=1000, cost_microusd=2000), PRICE)
    purse.charge(Tokens(10, 5), Worst(100, 50))
    assert (purse.used.tokens, purse.used.cost_microusd, purse.used.estimated) == (15, 20, False)
    purse.charge(Tokens(0, 0), Worst(100, 50))
    assert (purse.used.tokens, purse.used.estimated) == (15, False)
    purse.charge(None, Worst(100, 50))
    assert (purse.used.tokens, purse.used.cost_microusd, purse.used.estimated) == (165, 220, True)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 3), ("é", 2), ("漢", 3), ("🙂", 4)])
def test_the_safe_bound_is_a_token_for_each_byte(text: str, tokens: int) -> None:
    assert one_per_byte(text) == tokens
