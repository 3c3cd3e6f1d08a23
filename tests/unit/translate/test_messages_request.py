from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.base import Source
from proxy.translate.conversation import Choice, Text, Tool, ToolResult, ToolUse, Turn
from proxy.translate.messages_request import read_messages_request
from tests.unit.translate.messages_asking import HI, WEATHER, assistant, call, image, result, source, text, user

THINKING = {"type": "thinking", "thinking": "Hm", "signature": "s"}


def test_a_request_is_read_whole() -> None:
    read = read_messages_request(
        source(
            system=[text("Be brief.", cache_control={"type": "ephemeral", "ttl": "1h"})],
            stop_sequences=["END"],
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            tools=[WEATHER | {"strict": True, "cache_control": {"type": "ephemeral"}}],
            tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 2048},
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            metadata={"user_id": "u"},
            service_tier="standard_only",
        )
    )

    assert read.system == (Text("Be brief.", "1h"),)
    assert read.turns == (Turn("user", (Text("Hi"),)),)
    assert (read.max_tokens, read.stop, read.temperature, read.top_p, read.top_k) == (100, ("END",), 0.5, 0.9, 40)
    assert read.tools == (
        Tool(name="weather", schema=WEATHER["input_schema"], description="Of a city.", strict=True, cache="5m"),
    )
    assert read.choice == Choice("tool", "weather", parallel=False)
    assert read.thinking == {"type": "enabled", "budget_tokens": 2048}
    assert (read.effort, read.schema, read.user, read.standard_only) == ("high", {"type": "object"}, "u", True)


def test_what_is_absent_is_not_invented() -> None:
    read = read_messages_request(source())

    assert (read.system, read.tools, read.choice, read.stop) == ((), (), None, ())
    assert [read.temperature, read.top_p, read.top_k, read.effort, read.schema] == [None] * 5
    assert (read.thinking, read.user, read.standard_only) == ({}, "", False)


def test_what_says_nothing_about_the_answer_is_left_out() -> None:
    read_messages_request(
        source(
            cache_control={"type": "ephemeral"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            speed="fast",
            anthropic_beta=["x"],
            stream=True,
            container=None,
        )
    )


@pytest.mark.parametrize("name", ["container", "mcp_servers", "inference_geo", "fallbacks"])
def test_a_parameter_of_which_nothing_is_known_is_refused_or_left_out(name: str) -> None:
    values: dict[str, Any] = {name: "x"}
    read_messages_request(source(drop=True, **values))

    with pytest.raises(Untranslatable) as caught:
        read_messages_request(source(**values))
    assert caught.value.param == name


def test_neighbours_of_one_role_are_one_turn_and_empty_ones_none() -> None:
    read = read_messages_request(
        source(
            HI, user(text("you")), {"role": "assistant", "content": ""}, user(text("!")), {"role": "system", "content": "Now."}
        )
    )

    assert read.turns == (Turn("user", (Text("Hi"), Text("you"), Text("!"))), Turn("system", (Text("Now."),)))


def test_results_come_first_and_know_their_tools() -> None:
    read = read_messages_request(
        source(HI, assistant(call("a"), call("b", "clock")), user(result("1", "a")), user(text("and"), result("2", "b")))
    )

    results = read.turns[2].parts[:2]
    assert [(part.call, part.name) for part in results if isinstance(part, ToolResult)] == [("a", "weather"), ("b", "clock")]
    assert read.turns[2].parts[2:] == (Text("and"),)


def test_instructions_may_stand_between_a_call_and_its_result() -> None:
    read = read_messages_request(source(HI, assistant(call()), {"role": "system", "content": "Now."}, user(result())))

    assert [turn.role for turn in read.turns] == ["user", "assistant", "system", "user"]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        pytest.param([HI, user(result())], "messages[1].content[0].tool_use_id", id="result of nothing"),
        pytest.param([HI, assistant(call("x")), user(result())], "messages[2].content[0].tool_use_id", id="of something else"),
        pytest.param(
            [HI, assistant(call()), user(result(), result())], "messages[2].content[1].tool_use_id", id="two results of one call"
        ),
        pytest.param([HI, assistant(call()), user(text("well?"))], "messages", id="a call without a result"),
        pytest.param([HI, assistant(call("a"), call("b")), user(result("1", "a"))], "messages", id="one of two results"),
        pytest.param([HI, assistant(image())], "messages[1].content", id="an assistant's image"),
        pytest.param([user(call())], "messages[0].content", id="a user's call"),
        pytest.param([user(THINKING)], "messages[0].content", id="a user's thoughts"),
        pytest.param([{"role": "tool", "content": "x"}], "messages[0].role", id="a role of another API"),
        pytest.param([{"content": "x"}], "messages[0].role", id="no role"),
        pytest.param([{"role": "user"}], "messages[0].content", id="no content"),
        pytest.param([{"role": "user", "content": ""}], "messages", id="nothing said"),
        pytest.param([{"role": "system", "content": [image()]}], "messages[0].content[0].type", id="an instruction in pictures"),
    ],
)
def test_a_conversation_that_cannot_be_is_named_by_its_place(messages: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_messages_request(source(*messages))

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"system": 1}, "system"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": "much"}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "f"}, "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "some"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"metadata": "u"}, "metadata"),
        ({"service_tier": "gold"}, "service_tier"),
    ],
)
def test_a_parameter_that_is_wrong_in_itself_is_named(values: dict[str, Any], param: str) -> None:
    right = source(drop=True)

    with pytest.raises(BadRequest) as caught:
        read_messages_request(
            Source(values={**right.values, **values}, model="m", stream=False, request_id="r1", now=0, drop_params=True)
        )

    assert caught.value.param == param


@pytest.mark.parametrize("kind", ["web_search_20250305", "bash_20250124", "mcp_toolset"])
def test_a_tool_of_anthropics_own_is_refused_or_left_out(kind: str) -> None:
    tools = [{"type": kind, "name": "x"}, {**WEATHER, "type": "custom"}]

    assert [tool.name for tool in read_messages_request(source(tools=tools, drop=True)).tools] == ["weather"]
    with pytest.raises(Untranslatable) as caught:
        read_messages_request(source(tools=tools))
    assert caught.value.param == "tools[0].type"


def test_a_choice_without_tools_is_none() -> None:
    assert read_messages_request(source(tool_choice={"type": "auto"})).choice is None
    assert read_messages_request(source(tool_choice={"type": "any"}, tools=[WEATHER])).choice == Choice("any")


def test_thinking_that_is_switched_off_is_not_wanted() -> None:
    assert read_messages_request(source(thinking={"type": "disabled"})).thinking == {}
    assert read_messages_request(source(thinking={"type": "adaptive"})).thinking == {"type": "adaptive"}


def test_a_schema_is_also_read_where_it_stood_as_a_beta() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}

    assert read_messages_request(source(output_format=form)).schema == {"type": "object"}


def test_more_wishes_about_the_output_are_refused_by_name() -> None:
    with pytest.raises(Untranslatable) as caught:
        read_messages_request(source(output_config={"task_budget": {"total": 1}}))

    assert caught.value.param == "task_budget"


def test_a_call_keeps_its_input() -> None:
    read = read_messages_request(source(HI, assistant(text("Let me see."), call(city="Rome")), user(result())))

    assert read.turns[1].parts == (Text("Let me see."), ToolUse(id="c1", name="weather", input={"city": "Rome"}))
