from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import Untranslatable
from proxy.translate.chat_to_converse import ChatToConverse
from tests.unit.translate.asking import USER, WEATHER, body, call, called, result, source

CHAT_TO_CONVERSE = ChatToConverse()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
HI = {"role": "user", "content": [{"text": "Hi"}]}
SCHEMA = {"type": "object", "properties": {}}


def asked(**values: Any) -> dict[str, Any]:
    return body(CHAT_TO_CONVERSE, source(**values))


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        (NOVA, False, b"/model/amazon.nova-pro-v1%3A0/converse"),
        (NOVA, True, b"/model/amazon.nova-pro-v1%3A0/converse-stream"),
        ("arn:aws:bedrock:eu-west-1:1:p/x%", True, b"/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ap%2Fx%25/converse-stream"),
    ],
)
def test_the_model_is_one_segment_of_the_path(model: str, stream: bool, path: bytes) -> None:
    translated = CHAT_TO_CONVERSE.request(source(model=model, stream=stream))

    assert (translated.path, translated.query, translated.headers) == (path, b"", ())
    assert orjson.loads(translated.body) == {"messages": [HI]}


def test_a_whole_conversation_with_everything_is_asked() -> None:
    written = asked(
        model=NOVA,
        messages=[{"role": "system", "content": "Be kind."}, USER, called(call()), result()],
        tools=[WEATHER],
        tool_choice="auto",
        max_tokens=100,
        temperature=1.5,
        top_p=0.5,
        top_k=9,
        stop=["\n", "END"],
        user="team a/1",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA}},
    )

    assert written == {
        "system": [{"text": "Be kind."}],
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Rome"}}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "Sunny"}]}}]},
        ],
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "weather",
                        "description": "Of a city.",
                        "inputSchema": {"json": {"type": "object", "properties": {"city": {}}}},
                    }
                }
            ],
            "toolChoice": {"auto": {}},
        },
        "inferenceConfig": {"maxTokens": 100, "temperature": 1, "topP": 0.5, "stopSequences": ["\n", "END"]},
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type":"object","properties":{}}', "name": "n", "description": "d"}},
            }
        },
        "additionalModelRequestFields": {"top_k": 9},
        "requestMetadata": {"user": "team a/1"},
    }


@pytest.mark.parametrize(
    ("model", "written"),
    [
        (CLAUDE, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}}}),
        (
            "global.anthropic.claude-opus-4-6-v1",
            {
                "additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "summarized"}},
                "outputConfig": {"effort": "medium"},
            },
        ),
    ],
)
def test_a_claude_is_asked_to_think_in_its_own_words(model: str, written: dict[str, Any]) -> None:
    assert asked(model=model, reasoning_effort="medium") == {"messages": [HI], **written}


def test_calls_one_at_a_time_and_thinking_go_to_a_claude_together() -> None:
    written = asked(model=CLAUDE, reasoning_effort="low", tools=[WEATHER], parallel_tool_calls=False)

    assert written["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }
    assert "toolChoice" not in written["toolConfig"]


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (NOVA, "reasoning_effort", "low"),
        (NOVA, "response_format", {"type": "json_object"}),
        (CLAUDE, "stop", ["\n"]),
        (CLAUDE, "seed", 7),
    ],
)
def test_what_the_model_has_no_word_for_is_refused_or_left_out(model: str, name: str, value: Any) -> None:
    with pytest.raises(Untranslatable) as caught:
        asked(model=model, **{name: value})

    assert caught.value.param == name
    assert asked(model=model, **{name: value}, drop=True) == {"messages": [HI]}


@pytest.mark.parametrize("user", ["päul", "x" * 257, "a\nb"])
def test_a_user_whom_bedrocks_log_does_not_take_is_not_told(user: str) -> None:
    assert "requestMetadata" not in asked(user=user)


def test_words_that_are_half_a_surrogate_pair_are_asked_as_they_came() -> None:
    assert b'"\\ud83d"' in CHAT_TO_CONVERSE.request(source(messages=[{"role": "user", "content": "\ud83d"}])).body
