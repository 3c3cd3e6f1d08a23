from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.bedrock.request import read_ask
from tests.unit.simulator.bedrock.support import BODY, HELLO, TOOL_CONFIG, TOOLS

RESULT = [
    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "weather", "input": {}}}]},
    {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "21 degrees"}]}}]},
]


def called(question: str = "What now?", **choice: Any) -> list[str]:
    config = {"tools": TOOLS, "toolChoice": choice or None}
    ask = read_ask({"messages": [{"role": "user", "content": [{"text": question}]}], "toolConfig": config})
    return [tool.name for tool in ask.prompt.calls]


def test_limit_stops_and_schema_reach_the_prompt() -> None:
    form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object"}'}}}

    prompt = read_ask(
        {
            **BODY,
            "inferenceConfig": {"maxTokens": 7, "stopSequences": ["END"], "temperature": 0.5, "topP": 1},
            "outputConfig": {"textFormat": form},
        }
    ).prompt

    assert (prompt.limit, prompt.stops, prompt.schema) == (7, ("END",), {"type": "object"})
    assert (prompt.last, prompt.question) == ("Tell me about tea", "Tell me about tea")


@pytest.mark.parametrize(
    ("choice", "names"),
    [({}, ["weather"]), ({"auto": {}}, ["weather"]), ({"any": {}}, ["weather"]), ({"tool": {"name": "clock"}}, ["clock"])],
)
def test_tool_choice_chooses_the_tool(choice: Any, names: list[str]) -> None:
    assert called(**choice) == names


def test_two_tools_are_called_when_asked_for() -> None:
    assert called("Use both, please") == ["weather", "clock"]


def test_tools_are_called_until_they_have_answered() -> None:
    assert read_ask({"messages": [*HELLO, *RESULT], "toolConfig": TOOL_CONFIG}).prompt.calls == ()


def test_tools_cost_tokens_and_may_be_cached() -> None:
    tools = [*TOOLS, {"cachePoint": {"type": "default"}}, {"systemTool": {"name": "nova_grounding"}}]

    tokens = read_ask({**BODY, "toolConfig": {"tools": tools}}).tokens_in

    assert tokens.written["5m"] > 20


def test_thinking_is_asked_for_in_the_models_own_fields() -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}

    ask = read_ask({**BODY, "additionalModelRequestFields": more})

    assert (ask.prompt.thinks, ask.thinking.shown) == (True, False)
    assert not read_ask(BODY).prompt.thinks


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"inferenceConfig": {"maxTokens": 0}}, "maxTokens"),
        ({"inferenceConfig": {"temperature": 1.5}}, "temperature"),
        ({"inferenceConfig": {"topP": "high"}}, "topP"),
        ({"inferenceConfig": {"stopSequences": [""]}}, "stopSequences"),
        ({"toolConfig": {"tools": []}}, "tools"),
        ({"toolConfig": {"tools": [{}]}}, "toolConfig.tools.0"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "two words"}}]}}, "toolConfig.tools.0"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "x" * 65}}]}}, "toolConfig.tools.0"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {}}}]}}, "toolConfig.tools.0"),
        ({"toolConfig": {**TOOL_CONFIG, "toolChoice": {"none": {}}}}, "toolConfig.toolChoice"),
        ({"toolConfig": {**TOOL_CONFIG, "toolChoice": {"auto": {}, "any": {}}}}, "toolConfig.toolChoice"),
        ({"toolConfig": {**TOOL_CONFIG, "toolChoice": {"tool": {"name": "radio"}}}}, "toolConfig.toolChoice.tool.name"),
        ({"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}, "thinking.budget_tokens"),
        ({"outputConfig": {"textFormat": {"type": "json_schema"}}}, "schema"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_ask({**BODY, **change})

    assert refused.value.param is not None
    assert refused.value.param.endswith(param)
