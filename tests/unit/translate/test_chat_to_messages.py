from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_to_messages import ChatToMessages
from tests.support.golden import translated
from tests.unit.translate.asking import USER, WEATHER, body, call, called, deltas, result, source

SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
HI = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
CHAT_TO_MESSAGES = ChatToMessages()


def asked(**values: Any) -> dict[str, Any]:
    return body(CHAT_TO_MESSAGES, source(**values))


def test_words_are_asked_where_anthropic_has_it_in_the_last_version_with_sampling() -> None:
    request = CHAT_TO_MESSAGES.request(source(model="claude-x/y:1%"))

    assert (request.path, request.query) == (b"/v1/messages", b"")
    assert request.headers == ((b"anthropic-version", b"2023-06-01"),)
    assert request.body == (
        b'{"model":"claude-x/y:1%","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}'
    )


def test_a_whole_conversation_with_everything_is_asked() -> None:
    written = asked(
        model="claude-sonnet-4-5",
        stream=True,
        messages=[{"role": "system", "content": "Be kind."}, USER, called(call()), result()],
        tools=[WEATHER],
        tool_choice="auto",
        parallel_tool_calls=False,
        max_completion_tokens=100,
        temperature=1.5,
        top_k=9,
        stop="END",
        user="u1",
        stream_options={"include_usage": True},
    )

    assert written == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Sunny"}]}],
            },
        ],
        "tools": [
            {
                "name": "weather",
                "description": "Of a city.",
                "input_schema": {"type": "object", "properties": {"city": {}}},
            }
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "temperature": 1,
        "top_k": 9,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("model", "values", "written"),
    [
        pytest.param(
            "claude-sonnet-4-5",
            {"reasoning_effort": "high"},
            {"max_tokens": 8192, "thinking": {"type": "enabled", "budget_tokens": 4096}},
            id="a budget on top of the default limit",
        ),
        pytest.param(
            "claude-opus-4-6",
            {"reasoning_effort": "high"},
            {
                "max_tokens": 4096,
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
            },
            id="an effort",
        ),
        pytest.param(
            "claude-opus-4-6",
            {"reasoning_effort": "none"},
            {"max_tokens": 4096, "thinking": {"type": "disabled"}},
            id="no effort",
        ),
        pytest.param(
            "claude-opus-4-6",
            {
                "reasoning_effort": "low",
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            },
            {
                "max_tokens": 4096,
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
            },
            id="an effort and a schema",
        ),
        pytest.param("claude-opus-4-6", {"temperature": 0}, {"max_tokens": 4096, "temperature": 0}, id="no heat at all"),
        pytest.param("claude-opus-4-6", {"response_format": {"type": "text"}}, {"max_tokens": 4096}, id="words"),
    ],
)
def test_limits_thinking_and_form_are_asked_together(model: str, values: dict[str, Any], written: dict[str, Any]) -> None:
    assert asked(model=model, **values) == {"model": model, "messages": [HI], **written}


def test_json_without_a_schema_is_refused_or_left_out() -> None:
    with pytest.raises(Untranslatable) as caught:
        asked(response_format={"type": "json_object"})

    assert caught.value.param == "response_format"
    assert asked(response_format={"type": "json_object"}, drop=True) == asked()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [USER, result()]}, "messages[1].tool_call_id"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": "\ud83d" * 2}], "max_tokens": -1}, "max_tokens"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        asked(**values)

    assert caught.value.param == place


def test_half_a_surrogate_pair_is_asked_as_it_came() -> None:
    request = CHAT_TO_MESSAGES.request(source(messages=[{"role": "user", "content": "\ud83d"}]))

    assert b'"text":"\\ud83d"' in request.body


def test_a_tools_name_that_had_to_change_comes_back_as_it_was() -> None:
    tool = {"type": "function", "function": {"name": "files.read"}}
    request = CHAT_TO_MESSAGES.request(source(tools=[tool]))
    name = asked(tools=[tool])["tools"][0]["name"]
    start = (
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        f'"content_block":{{"type":"tool_use","id":"toolu_1","name":"{name}","input":{{}}}}}}\n\n'
    )

    out = translated(request.back.events(), [start.encode()])

    assert deltas(out)[1]["tool_calls"][0]["function"]["name"] == "files.read"
