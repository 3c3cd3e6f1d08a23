from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import Untranslatable
from proxy.translate.messages_as_chat import MessagesAsChat
from tests.unit.translate.messages_asking import HI, WEATHER, asked, assistant, call, image, result, source, text, user

CHAT = MessagesAsChat()


def members(**values: Any) -> dict[str, Any]:
    """Return what a request with these values adds to the plainest one."""
    plain = asked(CHAT, source())
    return {key: value for key, value in asked(CHAT, source(**values)).items() if plain.get(key) != value}


def test_the_plainest_request_says_nothing_that_was_not_said() -> None:
    translated = CHAT.request(source(model="llama"))

    assert (translated.path, translated.query, translated.headers) == (b"/v1/chat/completions", b"", ())
    assert orjson.loads(translated.body) == {"model": "llama", "messages": [HI], "max_tokens": 100}


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9000}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "low"},
        ),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "weather", "parameters": WEATHER["input_schema"], "description": "Of a city."},
                    }
                ],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_each_parameter_has_its_counterpart(values: dict[str, Any], added: dict[str, Any]) -> None:
    assert members(**values) == added


def test_a_conversation_with_tools_is_told_message_by_message() -> None:
    request = source(
        HI,
        assistant(
            {"type": "thinking", "thinking": "Hm", "signature": "s"}, text("Let me see."), call("a", city="Rome"), call("b")
        ),
        user(result([text("Sunny"), image()], "a"), result("Oops", "b", is_error=True), text("And now?")),
        system=[text("Be brief."), text("Be kind.")],
    )

    assert asked(CHAT, request)["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: Oops"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of the tool call a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("request_", "param"),
    [(source(top_k=5), "top_k"), (source(HI, assistant(text("Well,"))), "messages")],
    ids=["top_k", "prefill"],
)
def test_what_chat_cannot_honour_is_refused_by_name(request_: Any, param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        CHAT.request(request_)

    assert caught.value.param == param


def test_what_chat_cannot_honour_may_be_left_out() -> None:
    body = asked(CHAT, source(HI, assistant(text("Well,")), top_k=5, drop=True))

    assert body["messages"][-1] == {"role": "assistant", "content": "Well,"}
    assert "top_k" not in body


def test_half_a_surrogate_pair_is_passed_on() -> None:
    assert rb"\ud83d" in CHAT.request(source(user(text("\ud83d")))).body


def test_the_way_back_is_that_of_the_request() -> None:
    back = CHAT.request(source(model="m")).back

    assert orjson.loads(back.whole(b'{"choices":[{"message":{"content":"Hi"}}]}'))["id"] == "msg_r1"
