from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from proxy.errors import Untranslatable
from proxy.translate.messages_as_converse import MessagesAsConverse
from tests.unit.translate.messages_asking import HI, WEATHER, asked, assistant, call, document, image, result, source, text, user

CONVERSE = MessagesAsConverse()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
CACHED = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}


def members(model: str = CLAUDE, **values: Any) -> dict[str, Any]:
    """Return what a request with these values adds to the plainest one."""
    plain = asked(CONVERSE, source(model=model))
    return {key: value for key, value in asked(CONVERSE, source(model=model, **values)).items() if plain.get(key) != value}


def said(*messages: dict[str, Any], **values: Any) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = asked(CONVERSE, source(*messages, model=CLAUDE, **values))["messages"]
    return written


@pytest.mark.parametrize(("stream", "verb"), [(True, b"converse-stream"), (False, b"converse")])
def test_the_model_and_the_wish_for_a_stream_are_in_the_path(stream: bool, verb: bytes) -> None:
    translated = CONVERSE.request(source(model=CLAUDE, stream=stream))

    assert translated.path == b"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/" + verb
    assert orjson.loads(translated.body) == {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 100},
    }


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"temperature": 0.5}, {"inferenceConfig": {"maxTokens": 100, "temperature": 0.5}}),
        ({"top_p": 0.5}, {"inferenceConfig": {"maxTokens": 100, "topP": 0.5}}),
        ({"top_k": 5}, {"additionalModelRequestFields": {"top_k": 5}}),
        (
            {"stop_sequences": ["END"]},
            {
                "inferenceConfig": {"maxTokens": 100, "stopSequences": ["END"]},
                "additionalModelResponseFieldPaths": ["/stop_sequence"],
            },
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
            {
                "additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "omitted"}},
                "outputConfig": {"effort": "max"},
            },
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "outputConfig": {
                    "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object"}'}}}
                }
            },
        ),
        ({"metadata": {"user_id": "user-1"}}, {"requestMetadata": {"user": "user-1"}}),
        ({"metadata": {"user_id": '{"a"}'}}, {"requestMetadata": {"user": hashlib.sha256(b'{"a"}').hexdigest()}}),
        ({"service_tier": "standard_only"}, {"serviceTier": {"type": "default"}}),
        ({"system": [text("One."), text("Two.", **CACHED)]}, {"system": [{"text": "One."}, {"text": "Two."}, POINT]}),
        (
            {"tools": [WEATHER | CACHED], "tool_choice": {"type": "any"}},
            {
                "toolConfig": {
                    "tools": [
                        {
                            "toolSpec": {
                                "name": "weather",
                                "description": "Of a city.",
                                "inputSchema": {"json": WEATHER["input_schema"]},
                            }
                        },
                        POINT,
                    ],
                    "toolChoice": {"any": {}},
                }
            },
        ),
    ],
)
def test_each_parameter_has_its_counterpart(values: dict[str, Any], added: dict[str, Any]) -> None:
    assert members(**values) == added


def test_one_tool_at_a_time_is_a_wish_in_claudes_own_words() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}

    assert members(tools=[WEATHER], tool_choice=choice)["additionalModelRequestFields"] == {"tool_choice": choice}


def test_a_conversation_with_tools_is_told_turn_by_turn() -> None:
    thoughts = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    sealed = {"type": "redacted_thinking", "data": "eA=="}

    assert said(
        user(text("Hi"), image(), document(), text("!", **CACHED)),
        assistant(thoughts, sealed, text("Let me see."), call(city="Rome")),
        user(text("And?"), result([text("Sunny"), image()], is_error=True)),
    ) == [
        {
            "role": "user",
            "content": [
                {"text": "Hi"},
                {"image": {"format": "png", "source": {"bytes": "aW1n"}}},
                {"document": {"format": "pdf", "name": "document", "source": {"bytes": "cGRm"}}},
                {"text": "!"},
                POINT,
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
                {"reasoningContent": {"redactedContent": "eA=="}},
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "content": [{"text": "Sunny"}, {"image": {"format": "png", "source": {"bytes": "aW1n"}}}],
                        "status": "error",
                    }
                },
                {"text": "And?"},
            ],
        },
    ]


def test_thoughts_that_nobody_signed_are_left_out() -> None:
    unsigned = {"type": "thinking", "thinking": "Hm", "signature": ""}

    turns = said(HI, assistant(unsigned, text("Yes?")), user(text("a")), assistant(unsigned), user(text("b")))

    assert turns == [
        {"role": "user", "content": [{"text": "Hi"}]},
        {"role": "assistant", "content": [{"text": "Yes?"}]},
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
    ]


def test_instructions_in_mid_conversation_are_the_users() -> None:
    turns = said(HI, assistant(call()), {"role": "system", "content": "Now."}, user(result()))

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [list(block) for block in turns[2]["content"]] == [["toolResult"], ["text"]]


def test_a_conversation_that_the_user_did_not_open_begins_with_a_placeholder() -> None:
    assert said(assistant(text("Well?")), HI)[0] == {"role": "user", "content": [{"text": "."}]}


def test_a_begun_answer_stays_begun() -> None:
    assert said(HI, assistant(text("Well,")))[-1] == {"role": "assistant", "content": [{"text": "Well,"}]}


@pytest.mark.parametrize(("values", "param"), [({"top_k": 5}, "top_k"), ({"thinking": {"type": "adaptive"}}, "thinking")])
def test_what_only_a_claude_understands_is_refused_by_name_or_left_out(values: dict[str, Any], param: str) -> None:
    assert members(NOVA, drop=True, **values) == {}
    with pytest.raises(Untranslatable) as caught:
        CONVERSE.request(source(model=NOVA, **values))
    assert caught.value.param == param


def test_the_sequence_that_stopped_it_is_not_asked_of_other_models() -> None:
    assert "additionalModelResponseFieldPaths" not in members(NOVA, stop_sequences=["END"])


def test_images_by_url_are_refused_by_their_place() -> None:
    with pytest.raises(Untranslatable) as caught:
        said(user(image(type="url", url="https://x/y.png")))

    assert caught.value.param == "messages[0].content[0].source.url"


def test_tool_names_that_do_not_fit_are_changed_and_restored() -> None:
    long = "mcp__" + "x" * 70
    translated = CONVERSE.request(source(model=CLAUDE, tools=[WEATHER | {"name": long}]))
    sent = orjson.loads(translated.body)["toolConfig"]["tools"][0]["toolSpec"]["name"]

    block = {"toolUse": {"toolUseId": "t", "name": sent, "input": {}}}
    whole = translated.back.whole(orjson.dumps({"output": {"message": {"content": [block]}}, "stopReason": "tool_use"}))

    assert len(sent) <= 64
    assert orjson.loads(whole)["content"][0]["name"] == long
