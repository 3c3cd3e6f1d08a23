from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.translate.responses_as_chat import ResponsesAsChat
from tests.unit.translate.responses_asking import WEATHER, asked, call, message, output, source, text

CHAT = ResponsesAsChat()


def members(**values: Any) -> dict[str, Any]:
    """Return what a request with these values adds to the plainest one."""
    plain = asked(CHAT, source())
    return {key: value for key, value in asked(CHAT, source(**values)).items() if plain.get(key) != value}


def test_the_plainest_request_says_nothing_that_was_not_said() -> None:
    translated = CHAT.request(source(model="llama"))

    assert (translated.path, translated.query, translated.headers) == (b"/v1/chat/completions", b"", ())
    assert orjson.loads(translated.body) == {"model": "llama", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"max_output_tokens": 5, "model": "gpt-5"}, {"max_completion_tokens": 5, "model": "gpt-5"}),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}),
        ({"reasoning": {"effort": "minimal", "summary": "auto"}}, {"reasoning_effort": "minimal"}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": False}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": False}}},
        ),
        ({"user": "u"}, {"user": "u"}),
        ({"safety_identifier": "s", "user": "u"}, {"user": "s"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k"}, {}),
        (
            {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": False},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "parameters": WEATHER["parameters"],
                            "description": "Of a city.",
                            "strict": False,
                        },
                    }
                ],
                "tool_choice": "auto",
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_each_parameter_has_its_counterpart(values: dict[str, Any], added: dict[str, Any]) -> None:
    assert members(**values) == added


def test_a_conversation_with_calls_is_told_message_by_message() -> None:
    request = source(
        [
            message("developer", "Be kind."),
            message("user", text("Hi"), {"type": "input_image", "image_url": "https://x/y", "detail": "high"}),
            {"type": "reasoning", "summary": []},
            message("assistant", text("Let me see.", "output_text")),
            call(arguments="{not JSON"),
            output(),
            message("user", "And now?"),
        ],
        instructions="Be brief.",
    )

    assert asked(CHAT, request)["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "high"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{not JSON"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny"},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize(("summary", "kind"), [(None, "reasoning_text"), ("auto", "reasoning_summary_text")])
def test_thoughts_come_back_where_the_client_looks_for_them(summary: str | None, kind: str) -> None:
    back = CHAT.request(source(reasoning={"summary": summary})).back

    out = back.events().feed(b'data: {"choices":[{"index":0,"delta":{"reasoning":"Hm"}}]}\n\n')

    assert b"event: response.%b.delta\n" % kind.encode() in out
