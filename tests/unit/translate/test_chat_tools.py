from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_tools import Toolbox, read_tools
from proxy.translate.conversation import Choice, Tool
from tests.unit.translate.asking import WEATHER, fields

NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CUSTOM: dict[str, Any] = {"type": "custom", "custom": {"name": "shell"}}


def read(*, drop: bool = False, **values: Any) -> Toolbox:
    return read_tools(fields(**values), drop=drop)


def chosen(choice: Any, **values: Any) -> Choice | None:
    return read(tools=[WEATHER, NOW], tool_choice=choice, **values).choice


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def test_a_tool_is_read_and_one_without_parameters_takes_none() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}

    assert read(tools=[WEATHER, NOW, strict]).tools == (
        Tool(name="weather", description="Of a city.", schema={"type": "object", "properties": {"city": {}}}),
        Tool(name="now", schema={"type": "object", "properties": {}}),
        Tool(name="f", schema={}, strict=True),
    )


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        (None, None),
        ("auto", Choice()),
        ("none", Choice("none")),
        ("required", Choice("any")),
        ({"type": "function", "function": {"name": "now"}}, Choice("tool", "now")),
    ],
)
def test_each_choice_is_read(choice: Any, read: Choice | None) -> None:
    assert chosen(choice) == read


def test_calls_one_at_a_time_are_wished_for_with_any_choice() -> None:
    assert chosen(None, parallel_tool_calls=False) == Choice(parallel=False)
    assert chosen("required", parallel_tool_calls=False) == Choice("any", parallel=False)
    assert chosen({"type": "function", "function": {"name": "now"}}, parallel_tool_calls=False) == Choice("tool", "now", False)
    assert chosen("none", parallel_tool_calls=False) == Choice("none")
    assert chosen(None, parallel_tool_calls=True) is None


def test_a_model_is_told_of_the_allowed_tools_only() -> None:
    box = read(tools=[WEATHER, NOW], tool_choice=allowed("required", "now"))

    assert [tool.name for tool in box.tools] == ["now"]
    assert box.choice == Choice("any")


@pytest.mark.parametrize("values", [{}, {"tools": []}, {"tools": None, "tool_choice": "auto"}, {"parallel_tool_calls": False}])
def test_without_tools_there_is_no_choice(values: dict[str, Any]) -> None:
    assert read(**values) == Toolbox()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        pytest.param({"tools": {}}, "tools", id="tools that are no list"),
        pytest.param({"tools": [{}]}, "tools[0].type", id="no type"),
        pytest.param({"tools": [{"type": "function"}]}, "tools[0].function", id="no function"),
        pytest.param({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", id="no name"),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
            id="parameters that are no schema",
        ),
        pytest.param({"tools": [NOW], "tool_choice": "maybe"}, "tool_choice", id="unknown choice"),
        pytest.param({"tools": [NOW], "tool_choice": 7}, "tool_choice", id="a number as choice"),
        pytest.param({"tool_choice": "required"}, "tool_choice", id="required without tools"),
        pytest.param(
            {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", id="unknown tool"
        ),
        pytest.param({"tools": [NOW], "tool_choice": allowed("required", "f")}, "tool_choice", id="no known tool allowed"),
        pytest.param({"tools": [NOW], "parallel_tool_calls": 1}, "parallel_tool_calls", id="a number as flag"),
    ],
)
def test_tools_that_are_wrong_in_any_api_are_refused_by_place(values: dict[str, Any], place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**values)

    assert caught.value.param == place


@pytest.mark.parametrize(
    ("values", "place", "left"),
    [
        ({"tools": [CUSTOM, NOW]}, "tools[0].type", Toolbox((Tool(name="now", schema={"type": "object", "properties": {}}),))),
        ({"tools": [CUSTOM], "tool_choice": {"type": "custom", "custom": {"name": "shell"}}}, "tools[0].type", Toolbox()),
        (
            {"tools": [NOW], "tool_choice": {"type": "custom", "custom": {"name": "shell"}}},
            "tool_choice.type",
            Toolbox((Tool(name="now", schema={"type": "object", "properties": {}}),)),
        ),
    ],
)
def test_tools_of_another_kind_are_refused_or_left_out(values: dict[str, Any], place: str, left: Toolbox) -> None:
    with pytest.raises(Untranslatable) as caught:
        read(**values)

    assert caught.value.param == place
    assert read(**values, drop=True) == left
