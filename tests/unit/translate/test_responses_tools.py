from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Choice, Tool
from proxy.translate.fields import Fields
from proxy.translate.responses_tools import read_tools
from tests.unit.translate.responses_asking import WEATHER

CLOCK = {"type": "function", "name": "clock"}
SEARCH = {"type": "web_search", "external_web_access": False}


def tools(drop: bool = False, **values: Any) -> Toolbox:
    return read_tools(Fields({"tools": [WEATHER, CLOCK], **values}), drop=drop)


def test_functions_are_read_and_one_without_parameters_takes_none() -> None:
    assert tools().tools == (
        Tool(name="weather", schema=WEATHER["parameters"], description="Of a city.", strict=False),
        Tool(name="clock", schema={"type": "object", "properties": {}}, strict=None),
    )


@pytest.mark.parametrize(
    ("values", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, Choice()),
        ({"tool_choice": "none"}, Choice("none")),
        ({"tool_choice": "required"}, Choice("any")),
        ({"tool_choice": {"type": "function", "name": "clock"}}, Choice("tool", "clock")),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, Choice(parallel=False)),
        ({"parallel_tool_calls": False, "tool_choice": "required"}, Choice("any", parallel=False)),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}, None),
    ],
)
def test_each_choice_is_read(values: dict[str, Any], choice: Choice | None) -> None:
    assert tools(**values).choice == choice


def test_of_the_tools_only_those_remain_that_are_allowed() -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}

    read = tools(tool_choice=allowed)

    assert [tool.name for tool in read.tools] == ["clock"]
    assert read.choice == Choice("any")


def test_a_tool_that_runs_at_openai_is_refused_or_left_out() -> None:
    assert [tool.name for tool in tools(drop=True, tools=[SEARCH, CLOCK]).tools] == ["clock"]
    with pytest.raises(Untranslatable) as caught:
        tools(tools=[CLOCK, SEARCH])
    assert caught.value.param == "tools[1].type"


@pytest.mark.parametrize("kind", ["web_search", "custom", "mcp"])
def test_a_choice_of_such_a_tool_is_refused_or_left_out(kind: str) -> None:
    assert tools(drop=True, tool_choice={"type": kind}).choice is None
    with pytest.raises(Untranslatable) as caught:
        tools(tool_choice={"type": kind})
    assert caught.value.param == "tool_choice.type"


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{**CLOCK, "parameters": []}]}, "tools[0].parameters"),
        ({"tools": [{**CLOCK, "strict": 1}]}, "tools[0].strict"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        tools(**values)

    assert caught.value.param == param
