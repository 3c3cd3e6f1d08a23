from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.gemini.tools import json_schema, read_tools
from tests.unit.simulator.gemini.support import TOOLS


def called(question: str = "What now?", **config: Any) -> list[str]:
    body = {"tools": [{"googleSearch": {}}, *TOOLS], "toolConfig": {"functionCallingConfig": config}}
    return [tool.name for tool in read_tools(body).to_call(question)]


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ["weather"]),
        ({"mode": "AUTO"}, ["weather"]),
        ({"mode": "VALIDATED"}, ["weather"]),
        ({"mode": "NONE"}, []),
        ({"mode": "ANY"}, ["weather"]),
        ({"mode": "ANY", "allowedFunctionNames": ["clock"]}, ["clock"]),
        ({"mode": "ANY", "allowed_function_names": ["radio"]}, []),
    ],
)
def test_mode_and_allowed_names_choose_the_function(config: Any, names: list[str]) -> None:
    assert called(**config) == names


def test_two_functions_are_called_when_asked_for() -> None:
    assert called("Use both, please") == ["weather", "clock"]


def test_schemas_are_read_in_either_spelling() -> None:
    declared = [
        {"name": "old", "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}},
        {"name": "new", "parameters_json_schema": {"type": "object", "properties": {"TYPE": {"type": "string"}}}},
    ]

    old, new = read_tools({"tools": [{"function_declarations": declared}]}).own

    assert old.parameters == {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert new.parameters == declared[1]["parameters_json_schema"]


def test_schema_is_translated_at_every_depth_but_not_in_its_values() -> None:
    google = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "enum": ["STRING"]},
            "list": {"type": "ARRAY", "min_items": 2, "items": {"any_of": [{"type": "NUMBER"}, {"type": "NULL"}]}},
            "pair": {"type": "ARRAY", "prefix_items": [{"type": "STRING"}]},
            "map": {"type": "OBJECT", "additional_properties": {"type": "STRING"}},
        },
        "required": ["type"],
    }

    assert json_schema(google) == {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["STRING"]},
            "list": {"type": "array", "minItems": 2, "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}]},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["type"],
    }


def test_declarations_cost_tokens() -> None:
    assert [span.tokens > 5 for span in read_tools({"tools": TOOLS}).spans] == [True, False]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [{"functionDeclarations": {}}]}, "functionDeclarations"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "tool_config.function_calling_config.mode"),
        ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "f"}}}, "allowedFunctionNames"),
    ],
)
def test_wrong_tools_are_refused_by_name(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_tools(body)

    assert refused.value.param == param
