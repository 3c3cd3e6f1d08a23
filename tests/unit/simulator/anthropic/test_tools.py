from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.anthropic.tools import read_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "input_schema": SCHEMA}
CLOCK = {"name": "clock", "type": "custom", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def called(question: str = "What now?", **body: Any) -> list[str]:
    return [tool.name for tool in read_tools({"tools": [SEARCH, WEATHER, CLOCK], **body}).to_call(question)]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather"]),
        ({"type": "auto"}, ["weather"]),
        ({"type": "any"}, ["weather"]),
        ({"type": "none"}, []),
        ({"type": "tool", "name": "clock"}, ["clock"]),
        ({"type": "auto", "name": "clock"}, ["weather"]),
    ],
)
def test_tool_choice_chooses_among_the_tools_of_the_client(choice: Any, names: list[str]) -> None:
    assert called(tool_choice=choice) == names


def test_two_tools_are_called_when_asked_for_unless_the_client_forbids_it() -> None:
    assert called("Use both, please") == ["weather", "clock"]
    assert called("Use both, please", tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == ["weather"]


def test_no_tools_are_no_calls_and_no_cost() -> None:
    tools = read_tools({})

    assert (tools.to_call("Use both"), tools.spans, tools.forced) == ((), [], False)


@pytest.mark.parametrize(("choice", "forced"), [("auto", False), ("none", False), ("any", True)])
def test_choice_tells_whether_a_tool_has_to_be_called(choice: str, forced: bool) -> None:
    assert read_tools({"tools": [WEATHER], "tool_choice": {"type": choice}}).forced is forced


def test_every_definition_costs_tokens_and_may_end_the_cache() -> None:
    marked = {**WEATHER, "cache_control": {"type": "ephemeral"}}

    spans = read_tools({"tools": [SEARCH, marked]}).spans

    assert [span.ttl for span in spans] == [None, "5m"]
    assert all(span.tokens > 10 for span in spans)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [{"input_schema": SCHEMA}]}, "tools.0.name"),
        ({"tools": [SEARCH, {"name": "two words", "input_schema": SCHEMA}]}, "tools.1.name"),
        ({"tools": [{"name": "x" * 129, "input_schema": SCHEMA}]}, "tools.0.name"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, "tools.0.input_schema"),
        ({"tools": [WEATHER], "tool_choice": "auto"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "radio"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ],
)
def test_wrong_tools_and_choices_are_refused_by_name(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_tools(body)

    assert refused.value.param == param
